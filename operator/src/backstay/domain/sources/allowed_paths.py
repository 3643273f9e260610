"""What directories of nodes a namespace may use: pure rules over what the administrator allows.

Invariants: a path is compared part by part and as text, never resolved; what one namespace is
refused says nothing of what others are allowed; every refusal is a `UserError` that names the field
and the remedy.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

from backstay.api.rolling import RollingClaim
from backstay.domain.errors import UserError
from backstay.settings import DestinationRoot, RollingRoots, SourceRoot

NOT_ALLOWED: Final = "PathNotAllowed"


def source_root(
    roots: RollingRoots, namespace: str, node: str, path: str, *, field: str, write: bool = False
) -> SourceRoot:
    """Given what is allowed, a namespace, and a directory of a node (absolute, normalised), return
    the narrowest root that holds it; with `write`, one that restores may write into.

    Raise UserError, about the field, if there is none.
    """
    mine = [r for r in roots.sources if r.open_to(namespace, node) and (r.restore or not write)]
    holding = [r for r in mine if is_within(path, r.path)]
    if holding:
        return max(holding, key=lambda r: len(r.path))
    what = "restored into" if write else "copied"
    remedy = "rolling.sources of the chart" + (", with restore: true" if write else "")
    raise UserError(
        NOT_ALLOWED,
        f"{field}: {path} on node {node} may not be {what} by namespace {namespace}; "
        f"{_choices([r.path for r in mine])}the administrator allows directories in {remedy}",
    )


def destination_root(
    roots: RollingRoots, namespace: str, node: str, path: str, *, field: str
) -> DestinationRoot:
    """Given what is allowed, a namespace, a node and the directory for its copies, return the root.

    It must be the very path that is allowed: below it every namespace has a folder of its own, and
    a destination further down could lie in another's. Raise UserError, about the field, if none is.
    """
    mine = [r for r in roots.destinations if r.path and r.open_to(namespace, node)]
    found = next((r for r in mine if r.path == path), None)
    if found is None:
        raise UserError(
            NOT_ALLOWED,
            f"{field}: copies of namespace {namespace} may not be kept in {path} on node {node}; "
            f"{_choices([r.path for r in mine if r.path])}the administrator allows directories, "
            "written in full, in rolling.destinations of the chart",
        )
    return found


def destination_claim(
    roots: RollingRoots, namespace: str, node: str, claim: RollingClaim, *, field: str
) -> DestinationRoot:
    """Given what is allowed, a namespace, a node and a place in a claim of the operator's
    namespace, return the root that allows copies of the node's directories in it.

    Raise UserError, about the field, if none does.
    """
    mine = [r for r in roots.destinations if r.claim and r.open_to(namespace, node)]
    wanted = claim.name, claim.sub_path
    found = next((r for r in mine if (r.claim, r.sub_path) == wanted), None)
    if found is None:
        where = "/".join(part for part in wanted if part)
        choices = _choices(["/".join(p for p in (r.claim, r.sub_path) if p) for r in mine])
        raise UserError(
            NOT_ALLOWED,
            f"{field}: copies of namespace {namespace} on node {node} may not be kept in claim "
            f"{where} of the operator's namespace; {choices}the administrator allows claims in "
            "rolling.destinations of the chart",
        )
    return found


def is_within(path: str, root: str) -> bool:
    """Given two absolute, normalised paths, return whether the first is the second or below it."""
    return PurePosixPath(path).is_relative_to(root)


def below(path: str, root: str) -> str:
    """Given a path within a root, return it relative to the root, "" for the root itself."""
    rest = str(PurePosixPath(path).relative_to(root))
    return "" if rest == "." else rest


def _choices(allowed: list[str]) -> str:
    return f"choose one of {', '.join(sorted(set(allowed)))}, or: " if allowed else ""
