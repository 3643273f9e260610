"""Claims whose files are to be copied: what can be refused before the run."""

from __future__ import annotations

from collections.abc import Iterable

from backstay.domain import objects
from backstay.domain.errors import UserError
from backstay.domain.objects import Obj, dig


def check_cloned(claims: Iterable[Obj], field: str) -> None:
    """Given claims and the field that has them cloned, raise UserError if one cannot be."""
    for claim in claims:
        if not dig(claim, "spec", "storageClassName"):
            raise UserError(
                "ClaimNotCloned",
                f"{field}: claim {objects.name(claim)} has no StorageClass, and so no driver that "
                "clones it; choose Snapshot or Direct",
            )


def check_files(claims: Iterable[Obj], what: str) -> None:
    """Given claims and what is made of them (as in `rolling copies are`), raise UserError if one
    has no files: a Job mounts it as a directory.
    """
    for claim in claims:
        if dig(claim, "spec", "volumeMode") == "Block":
            raise UserError(
                "ClaimNotFiles",
                f"spec.source.claims: claim {objects.name(claim)} is a block volume; {what} of "
                "files, take snapshots of it",
            )
