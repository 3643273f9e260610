"""Where the copies of a series are kept, and what a Job must mount to work on them.

Invariants: a site is made again from what the administrator allows now, for every Job: what was
allowed when a run was planned gives no right later. Jobs that see directories of nodes run in the
operator's namespace, where no tenant can enter them; Jobs that see claims in the namespace of the
claims, which are all that they see.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from backstay.api.rolling import PlannedCopy, Rolling
from backstay.domain import objects
from backstay.domain.errors import UserError
from backstay.domain.jobs import Mount
from backstay.domain.objects import Obj, dig
from backstay.domain.sources.allowed_paths import (
    below,
    destination_claim,
    destination_root,
    source_root,
)
from backstay.domain.stores.copies.points import Series
from backstay.settings import RollingRoots

SOURCE: Final = "/source"
DESTINATION: Final = "/destination"
TARGET: Final = "/target"
_SOURCE_FIELD: Final = "spec.source.hostPath"
_DESTINATION_FIELD: Final = "spec.rolling.destination"


@dataclass(frozen=True, slots=True)
class Opened:
    """A directory as the agent opens it: the mounted root, and the way below it."""

    mount: Mount
    path: str


@dataclass(frozen=True, slots=True)
class Site:
    """The home of one series."""

    series: Series
    namespace: str
    """Of its Jobs."""
    node: str | None
    """None: wherever the claims can be had."""
    destination: Mount
    marker: str | None = None
    """The id that the destination's marker must have."""
    makes_marker: bool = False
    """Its first copy makes its marker: nobody else can get at a claim. Later, without a
    marker the volume is lost.
    """

    @property
    def claims(self) -> tuple[str, ...]:
        """The claims that its Jobs need beside what they read or write."""
        return (self.destination.claim,) if self.destination.claim else ()


def site_of(
    copy: PlannedCopy,
    rolling: Rolling,
    *,
    namespace: str,
    policy: str,
    home: str,
    roots: RollingRoots,
) -> Site:
    """Given a directory of a plan, how it is kept, the policy's address, the operator's namespace
    and what the administrator allows, return where its copies are kept.

    Raise UserError, naming field and remedy, if the namespace may not keep them there.
    """
    if copy.node is None:
        return _site_of_claim(copy, rolling, namespace, policy)
    wanted = rolling.destination
    series = Series(namespace, policy, "hostPath", copy.node, copy.path)
    if wanted.claim is not None:
        found = destination_claim(
            roots, namespace, copy.node, wanted.claim, field=f"{_DESTINATION_FIELD}.claim"
        )
        mount = Mount("destination", DESTINATION, claim=found.claim, sub_path=found.sub_path)
        return Site(series, home, copy.node, mount, found.id, makes_marker=True)
    found = destination_root(
        roots,
        namespace,
        copy.node,
        wanted.host_path or "",
        field=f"{_DESTINATION_FIELD}.hostPath",
    )
    mount = Mount("destination", DESTINATION, host_path=found.path)
    return Site(series, home, copy.node, mount, found.id)


def _site_of_claim(copy: PlannedCopy, rolling: Rolling, namespace: str, policy: str) -> Site:
    wanted = rolling.destination.claim
    series = Series(namespace, policy, "claim", copy.claim or "", copy.path)
    if wanted is None:
        raise UserError(
            "DestinationNotAllowed",
            f"{_DESTINATION_FIELD}: copies of claims are kept in a claim of the same "
            "namespace: set claim",
        )
    mount = Mount("destination", DESTINATION, claim=wanted.name, sub_path=wanted.sub_path)
    return Site(series, namespace, None, mount, makes_marker=True)


def source_of(series: Series, roots: RollingRoots) -> Opened:
    """Given a series and what the administrator allows, return its source as the agent opens it.

    Raise UserError if the namespace may not copy it.
    """
    if series.kind == "claim":
        return Opened(Mount("source", SOURCE, read_only=True, claim=series.holder), series.path)
    root = source_root(roots, series.namespace, series.holder, series.path, field=_SOURCE_FIELD)
    mount = Mount("source", SOURCE, read_only=True, host_path=root.path)
    return Opened(mount, below(series.path, root.path))


def node_of_claims(claims: Iterable[Obj], pods: Iterable[Obj]) -> str | None:
    """Given the claims that a Job needs and the Pods of their namespace, return the one node on
    which they can be had; None if no running Pod decides it, and the scheduler knows best.

    Raise UserError if the Pods that use them are on different nodes.
    """
    bound = {
        objects.name(c)
        for c in claims
        if "ReadWriteMany" not in dig(c, "spec", "accessModes", default=[])
    }
    found = {
        str(dig(pod, "spec", "nodeName")): claim
        for pod in filter(_is_living, pods)
        for claim in bound & _claims_of(pod)
        if dig(pod, "spec", "nodeName")
    }
    if len(found) > 1:
        places = ", ".join(f"{claim} on node {node}" for node, claim in sorted(found.items()))
        raise UserError(
            "ClaimsApart",
            f"spec.source.claims: claims are in use on different nodes ({places}), and one Job "
            "cannot have both; use a destination claim that is ReadWriteMany",
        )
    return next(iter(found), None)


def node_trouble(name: str, node: Obj | None) -> tuple[str, bool]:
    """Given a node's name and the node as read, return what keeps Jobs from it ("" if nothing
    does), and whether that is for good.
    """
    if node is None:
        return f"there is no node {name}; its directories are copied on no other node", True
    conditions = dig(node, "status", "conditions", default=[])
    ready: Obj = next((c for c in conditions if c.get("type") == "Ready"), {})
    if ready.get("status") != "True":
        why = ready.get("message") or ready.get("reason") or "it has not reported yet"
        return f"node {name} is not ready ({why}); its directories wait for it", False
    return "", False


def running_users(claim: str, pods: Iterable[Obj]) -> list[str]:
    """Given a claim and the Pods of its namespace, return the names of those that use it."""
    return sorted(objects.name(p) for p in filter(_is_living, pods) if claim in _claims_of(p))


def _is_living(pod: Obj) -> bool:
    return dig(pod, "status", "phase") not in ("Succeeded", "Failed")


def _claims_of(pod: Obj) -> set[str]:
    volumes = dig(pod, "spec", "volumes", default=[])
    return {str(dig(v, "persistentVolumeClaim", "claimName", default="")) for v in volumes}
