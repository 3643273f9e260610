"""Where a database keeps its data, and whether the snapshots of a run hold all of it together.

The server is asked by its own dump, inside its container; links and mounts are followed there. A
claim with a part of the data is worse than none: what is started on it is not what was.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from backstay.domain.errors import UserError
from backstay.domain.sources.mounts import Lies, Mount, mount_of

CONSISTENCY: Final = "spec.snapshot.consistency"
REMEDY: Final = (
    "add a hook with freezes: true that holds all of them still, or, if each of them is of use by "
    f"itself, set {CONSISTENCY}: PerClaim"
)
ASKED: Final = frozenset({"postgres", "mysql", "mongodb", "redis"})
"""The engines whose dump asks the server in which directories it keeps its data."""


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """A directory or file that a database says that it keeps its data in."""

    name: str
    """What the database calls it, such as pg_wal."""
    path: str
    """As the database says."""
    at: Lies


def data_trouble(
    data: Sequence[DataDirectory] | None,
    mounts: Sequence[Mount],
    points: Sequence[str],
    claims: Collection[str],
    together: Sequence[Collection[str]],
) -> str:
    """Given where a database keeps its data (None: it does not say), its container's mounts with
    their real points, the claims of the run and the groups that are frozen together, return why
    its data on those claims is not whole, "" if it is, or if they hold none of it.
    """
    written = sorted({m.claim for m in mounts if m.claim and not m.read_only})
    inside = [c for c in written if c in claims]
    if not any(d.at.real for d in data or ()):
        if len(written) > 1 and inside and not _one(written, together):
            return (
                f"its container writes to claims {', '.join(written)}, and the database does not "
                "say on which of them its data lies: give its user the right to see that, or "
                f"{REMEDY}"
            )
        return ""
    homes, elsewhere = _homes_of(data or (), mounts, points, claims)
    held = [c for c in homes if c in claims]
    if not held:
        return ""
    if elsewhere:
        return (
            f"the database's data is not all in this backup: {'; '.join(elsewhere)}; add it to "
            f"spec.source.claims with a hook that freezes both, or set {CONSISTENCY}: PerClaim if "
            "the dump alone is what counts"
        )
    if len(held) > 1 and not _one(held, together):
        parts = ", ".join(f"{homes[c]} on {c}" for c in sorted(held))
        return (
            f"the database's data lies on several claims ({parts}), whose snapshots are not of one "
            f"moment: {REMEDY}"
        )
    return ""


def _homes_of(
    data: Sequence[DataDirectory],
    mounts: Sequence[Mount],
    points: Sequence[str],
    claims: Collection[str],
) -> tuple[dict[str, str], list[str]]:
    """The claims that data lies on, each with what lies there; and in words what of it is on none
    of the run's.
    """
    homes: dict[str, str] = {}
    elsewhere: list[str] = []
    for directory in data:
        try:
            mount = mount_of(directory.at, mounts, points, f"{directory.name} ({directory.path})")
            homes.setdefault(mount.claim, directory.name)
            if mount.claim not in claims:
                elsewhere.append(
                    f"{directory.name} ({directory.path}) lies on claim {mount.claim}, which this "
                    "policy does not snapshot"
                )
        except UserError as error:
            elsewhere.append(error.message)
    return homes, elsewhere


def _one(claims: Collection[str], together: Sequence[Collection[str]]) -> bool:
    return any(set(claims) <= set(group) for group in together)
