"""The restore side of snapshots: which one of a Backup, and how far a claim made from it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from backstay.api.backup import BackupPhase
from backstay.api.point import PointResult, PointStatus
from backstay.domain.errors import UserError
from backstay.domain.restore.acknowledgement import Word, with_word
from backstay.domain.restore.sights import Fill

BY_NAME: Final = "a ready snapshot is restored by its name: set from.volumeSnapshot to it"
UNVERIFIED_AFTER: Final = timedelta(minutes=5)
"""How long a verification may take where a person said that it may go without."""


def find_snapshot(
    claim: str,
    backup: str,
    phase: BackupPhase,
    points: Sequence[PointStatus],
    *,
    store: str,
    message: str | None = None,
) -> str:
    """Given a claim and its Backup's name, phase, points and message, return the name of its good
    snapshot. Raise UserError if the Backup is not finished or has none of it.
    """
    if not phase.final:
        raise UserError(
            "BackupNotFinished",
            f"spec.from.backup: Backup {backup} is {phase}; create the request again when it "
            f"is Completed, or {BY_NAME}",
        )
    good = {
        p.source: p.ref
        for p in points
        if p.store == store and p.result is PointResult.GOOD and p.ref
    }
    if not good:
        raise UserError(
            "BackupFailed",
            f"spec.from.backup: Backup {backup} is {phase} and has no good point"
            f"{': ' + message if message else ''}; if one of its snapshots is ready, {BY_NAME}",
        )
    if claim not in good:
        raise UserError(
            "ClaimNotInBackup",
            f"spec.claims: Backup {backup} has no good point of claim {claim}, only of "
            f"{', '.join(sorted(good))}; {BY_NAME}",
        )
    return str(good[claim])


@dataclass(frozen=True, slots=True)
class Verification:
    """One look at a claim that is made from a snapshot, and at the Pod that verifies it."""

    snapshot_there: bool
    bound: bool = False
    pod_there: bool = False
    pod_done: bool = False
    pod_failed: bool = False
    pod_says: str = ""
    """Its outcome, or what it waits for."""
    claim_says: str = ""
    """What keeps the claim from being bound."""
    binds_late: bool = False
    """It is bound by the first Pod that uses it, whose ever that is."""

    @property
    def waits(self) -> str:
        """What it waits for, in words."""
        return "; ".join(filter(None, (self.pod_says, self.claim_says)))


def fill_of(look: Verification, waited: timedelta, *, may_stay_unverified: bool) -> Fill:
    """Given a look at a claim that this request made, how long ago the request began, and whether
    a person said that it may stay unverified, return how far it is.

    The driver fills a claim from the snapshot that it is made from; what is begun here is the Pod
    that verifies it, which is also the first consumer that some classes wait for.
    """
    if look.pod_done:
        return Fill(begun=True, done=True, says=look.pod_says or "mounted", verifies=look.bound)
    if may_stay_unverified and (why := _unverified(look, waited)):
        passed = {Word.UNVERIFIED.value: why}
        return Fill(begun=True, done=True, says=why, passed=passed, verifies=look.bound)
    if look.pod_failed:
        why = with_word(f"verification failed: {look.pod_says}", Word.UNVERIFIED)
        return Fill(begun=True, failed=why)
    return Fill(begun=look.pod_there, says=look.waits, verifies=look.bound)


def _unverified(look: Verification, waited: timedelta) -> str:
    """Why a claim is handed over without having been verified, "" if that is not to be."""
    to_be_had = look.bound or (look.binds_late and look.snapshot_there and not look.claim_says)
    if not to_be_had:
        return ""
    if look.pod_failed:
        return f"not verified: {look.pod_says}"
    if waited < UNVERIFIED_AFTER:
        return ""
    return f"not verified within {UNVERIFIED_AFTER}: {look.waits or 'its Pod has not ended'}"


def lost(snapshot: str, look: Verification) -> str:
    """Given a snapshot's name and a look, return why no claim is made from it any more."""
    if look.snapshot_there or look.bound:
        return ""
    return f"VolumeSnapshot {snapshot} was deleted before the claim was bound"


def waited_since(began: datetime | None, now: datetime) -> timedelta:
    """Given when a request began (None: it is not known) and now, return how long that is ago."""
    return now - began if began is not None else timedelta(0)
