"""The restore side of rolling copies: which copy of a Backup, and how far its Job is."""

from __future__ import annotations

from dataclasses import dataclass, replace

from backstay.api.backup import BackupStatus
from backstay.api.point import PointResult, PointStatus
from backstay.api.rolling import PlannedCopy, PlannedRolling
from backstay.api.rolling_status import CopyStatus
from backstay.domain.errors import UserError
from backstay.domain.jobs import JobSeen
from backstay.domain.restore.acknowledgement import Acknowledged, Word
from backstay.domain.restore.sights import Fill, Rest
from backstay.domain.restore.wishes import Wish
from backstay.domain.stores.copies.agent_result import AgentResult


@dataclass(frozen=True, slots=True)
class Chosen:
    """A copy that is restored from: as its Backup shows it, and as it was planned."""

    entry: PointStatus
    point: CopyStatus
    copy: PlannedCopy
    rolling: PlannedRolling


def choose_copy(backup: str, status: BackupStatus, wish: Wish, said: Acknowledged) -> Chosen:
    """Given a Backup's name and status and what is wanted, return the copy to restore from.

    Raise UserError, naming field and remedy, if it has none, or not one alone.
    """
    rolling = status.plan.rolling if status.plan else None
    if rolling is None:
        raise UserError(
            "NotACopy",
            f"{wish.field}: Backup {backup} has no rolling copies; restore its claims instead",
        )
    entry, copy = _only(backup, status, rolling, wish)
    point = entry.rolling
    if point is None:
        raise ValueError("a copy was chosen that is none")
    if point.missing:
        missing = UserError(
            "CopyMissing",
            f"spec.from.backup: the copy of {entry.source} was not found at its destination: see "
            "the condition CopiesMissing of the policy, or restore from another Backup",
        )
        said.pass_over(Word.COPY_MISSING, missing)
    return Chosen(entry, point, copy, rolling)


def _only(
    backup: str, status: BackupStatus, rolling: PlannedRolling, wish: Wish
) -> tuple[PointStatus, PlannedCopy]:
    """The one good copy that a wish is of."""
    good = {
        p.source: p
        for p in status.points
        if p.result is PointResult.GOOD and p.rolling is not None and not p.rolling.gone
    }
    if not good:
        raise UserError(
            "NoGoodCopy", f"spec.from.backup: Backup {backup} has no good copy: {status.phase}"
        )
    fitting = [series for series in good if wish.is_of(series)]
    field = "spec.directory.source" if wish.directory is not None else "spec.claims[].claim"
    if len(fitting) > 1:
        raise UserError(
            "SourceNeeded",
            f"{field}: Backup {backup} has several directories, name one of "
            f"{', '.join(sorted(good))}",
        )
    copies = {copy.series: copy for copy in rolling.copies}
    if not fitting or fitting[0] not in copies:
        raise UserError(
            "SourceNotInBackup",
            f"{field}: Backup {backup} has no good copy of {wish.source or fitting[0]}, only of "
            f"{', '.join(sorted(good))}",
        )
    return good[fitting[0]], copies[fitting[0]]


def fill_of(job: JobSeen, result: AgentResult | None, rest: JobSeen) -> Fill:
    """Given the Job of a restore as seen, what it said, and the Job that removes what a killed one
    has left, return how far the restore is.
    """
    if not job.exists:
        return Fill()
    if not job.ours:
        taken = f"Job {job.name} was made by somebody else; delete it and create the request again"
        return Fill(begun=True, failed=taken)
    fill = Fill(begun=True, job=job.name)
    if result is not None:
        return _judged(fill, result)
    if job.failed:
        # Its outcome is unknown, so something may be left.
        return replace(fill, failed=job.message or "its Job failed", rest=_rest(rest))
    if job.succeeded:
        return replace(fill, done=True, says="restored; what the Job said is lost")
    return replace(fill, says=job.message)


def _judged(fill: Fill, result: AgentResult) -> Fill:
    safety, used = result.raw.get("safety"), result.raw.get("acknowledged")
    if isinstance(safety, dict):
        fill = replace(fill, safety=str(safety.get("stamp", ""))[:64] or None)
    if isinstance(used, dict):
        fill = replace(fill, passed={str(word): str(why) for word, why in used.items()})
    if not result.ok:
        return replace(fill, failed=result.message)
    return replace(fill, done=True, says=result.message or "restored")


def _rest(job: JobSeen) -> Rest:
    if not job.exists:
        return Rest()
    if not job.ours:
        taken = f"Job {job.name} was made by somebody else"
        return Rest(asked=True, over=True, trouble=taken)
    stays = job.message or job.name
    trouble = "" if job.succeeded else stays if job.failed else job.message
    return Rest(asked=True, over=job.finished, trouble=trouble)
