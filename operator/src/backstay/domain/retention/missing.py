"""Points that records show and nobody finds: what takes them for gone, and what is reported.

Rolling copies that a list does not find are measured as marks are: so many, or all of a series,
are what a disk looks like that is not mounted, and are gone only when a person says so. Snapshots
that are not found and were not swept are gone only by a person's word, be they ever so few
(`stores.snapshots.vanished`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from backstay.domain.retention.brakes import (
    MARKS_ALWAYS,
    Brake,
    Held,
    digest,
    first,
    release_command,
)

COPIES_MISSING: Final = "CopiesMissing"
NO_COPY_MISSING: Final = Brake("NoneMissing", "the copies that records show were found")
POINTS_MISSING: Final = "PointsMissing"
NO_POINT_MISSING: Final = Brake("NoneMissing", "the good points that records show are there")


def looks_lost(missing: int, known: int) -> bool:
    """Given how many of a series' points a list did not find, and how many are known, return
    whether their disk is missing rather than they.
    """
    return missing > 0 and (missing == known or missing > max(MARKS_ALWAYS, known / 3))


def missing_plan(names: Collection[str]) -> str:
    """Given the names of points that are missing, return what takes them for gone: another hash
    than the one that lets retention mark the same points.
    """
    return digest([COPIES_MISSING, *sorted(names)])


def missing_copies(held: Sequence[Held], namespace: str, policy: str) -> Brake | None:
    """Given the series of a policy of which points are missing, return the brake, None if there are
    none.
    """
    if not held:
        return None
    named = [
        f"{h.claim}: {h.marks} of {h.size} copies were not found at the destination" for h in held
    ]
    return Brake(
        "NotFound",
        f"{first(named, 'directories')}; no record of them is removed, and nothing there is marked "
        "or swept. Have the disk that belongs there mounted, or exported: the next daily list "
        "finds them again. If they are gone for good, run: "
        f"{release_command(held, namespace, policy)}",
    )


def missing_points(held: Sequence[tuple[Held, str]], namespace: str, policy: str) -> Brake | None:
    """Given the claims of a policy of which snapshots are missing, and of each the first one and
    why it is, return the brake, None if there are none.
    """
    return _lost(
        held,
        (namespace, policy),
        "Nothing of Backstay's removed them: look for what does, such as another pruner. Their "
        "Backups stay, as Gone; a VolumeSnapshotContent that is left can be rebound (kubectl "
        "backstay orphans).",
    )


def missing_stored(held: Sequence[tuple[Held, str]], namespace: str, policy: str) -> Brake | None:
    """Given the same of points in a repository, return the brake, None if there are none."""
    return _lost(
        held,
        (namespace, policy),
        "Nothing of Backstay's removed them from the repository: look for what does, such as "
        "restic forget run by hand, or a rule of the bucket that expires objects. Their Backups "
        "stay, as Gone; with versions or an object lock in the bucket the snapshots can be "
        "brought back, and the next list finds them.",
    )


def _lost(held: Sequence[tuple[Held, str]], place: tuple[str, str], where: str) -> Brake | None:
    if not held:
        return None
    named = [
        f"claim {h.claim}: {h.marks} good "
        f"{'points are' if h.marks > 1 else 'point is'} missing, first {why}"
        for h, why in held
    ]
    return Brake(
        "NotFound",
        f"{first(named, 'claims')}. {where} If they are gone for good, run: "
        f"{release_command([h for h, _ in held], *place)}",
    )
