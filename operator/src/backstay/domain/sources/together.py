"""Which claims belong together: those that one container writes to, unless they are taken as one.

Snapshots of several claims are several moments. What a program keeps on two of them fits together
only if it wrote nothing between the first snapshot and the last: a hook froze it, for all of them.
A bound on the time between the snapshots would not do: one transaction in it is enough.

Invariants: with consistency PerPod (the default) no point of such a group is good unless a hook
that freezes held over the snapshots of all of it, and all of it is good. Two of the run's claims in
one container without such a hook are refused, unless a dump asks the database there where its data
lies (server_data.py). Nothing is refused with PerClaim: there a person said so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from backstay.domain.errors import UserError
from backstay.domain.objects import Obj, dig, name, uid
from backstay.domain.sources.claims import claims_written
from backstay.domain.sources.server_data import REMEDY


@dataclass(frozen=True, slots=True)
class Writer:
    """A container that may write to claims."""

    pod: str
    pod_uid: str
    container: str
    claims: frozenset[str]


def writers(pods: Iterable[Obj]) -> list[Writer]:
    """Given pods, return the containers of those that are not over which write to claims."""
    found = []
    for pod in pods:
        if dig(pod, "status", "phase") in ("Succeeded", "Failed"):
            continue
        # An init container with restartPolicy Always runs beside the others.
        beside = [
            c
            for c in dig(pod, "spec", "initContainers", default=[])
            if c.get("restartPolicy") == "Always"
        ]
        for container in (*beside, *dig(pod, "spec", "containers", default=[])):
            claims = claims_written(pod, container)
            if claims:
                found.append(Writer(name(pod), uid(pod), str(container["name"]), claims))
    return found


def covers(held: Collection[str], group: Collection[str]) -> bool:
    """Given the claims of a freezing hook's pod (none: it stands for all) and a group, return
    whether it freezes all of them.
    """
    return not held or set(group) <= set(held)


def groups(
    found: Iterable[Writer],
    claims: Collection[str],
    frozen: Sequence[Collection[str]],
    asked: Collection[tuple[str, str]],
) -> tuple[tuple[str, ...], ...]:
    """Given writers, the claims of a run, those of each freezing hook's pod, and in which
    containers (pod uid, name) a dump asks the database for its directories, return the groups of
    claims that have to be good together; groups that share a claim are one.

    Raise UserError if there are some that nothing freezes.
    """
    joined: list[set[str]] = []
    for writer in found:
        group = set(writer.claims) & set(claims)
        if len(group) < 2:
            continue
        if not any(covers(held, group) for held in frozen):
            if (writer.pod_uid, writer.container) in asked:
                continue
            raise UserError("ClaimsNotTogether", _refusal(writer, group))
        touching = [g for g in joined if g & group]
        joined = [g for g in joined if not g & group] + [group.union(*touching)]
    whole = sorted(tuple(sorted(g)) for g in joined)
    for one in whole:
        if not any(covers(held, one) for held in frozen):
            raise UserError(
                "ClaimsNotTogether", f"no hook freezes all of {', '.join(one)}: {REMEDY}"
            )
    return tuple(whole)


def _refusal(writer: Writer, group: Collection[str]) -> str:
    return (
        f"spec.source.claims: container {writer.container} of pod {writer.pod} writes to claims "
        f"{', '.join(sorted(group))}, and their snapshots are not of one moment, so they need not "
        f"fit together: {REMEDY}"
    )
