"""The plan of a RestoreRequest for a directory: what was seen in, the next status and steps out.

    Pending -> Restoring -> Completed
       |           +------> Failed
       +-> Refused

Invariants: what is restored and whereto is written down before anything is done; the Job is made
only when the point carries the request's uid, so that nothing removes it meanwhile; the agent
gives a new directory its name when it is whole, and refuses one that is there already.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from backstay.api.common import changed
from backstay.api.restore import RestoredDirectory, RestorePhase, RestoreSpec, RestoreStatus
from backstay.domain.agent_result import AgentResult
from backstay.domain.brakes import slots_now
from backstay.domain.errors import UserError
from backstay.domain.job_sights import JobSeen
from backstay.domain.restore import AT_ONCE, POLL, said

HOLD_WAIT: Final = timedelta(minutes=30)
"""How long a destination may take until the point is held, while nothing is copied there."""
COPY_POLL: Final = timedelta(seconds=15)
"""A copy may take hours."""


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a decision on one request rests on."""

    now: datetime
    generation: int
    status: RestoreStatus
    refusal: UserError | None = None
    """Why nothing is restored, unless its Job was made already."""
    directory: RestoredDirectory | None = None
    """When Pending: what is to be restored."""
    backup: str | None = None
    policy: str = ""
    """Whose copies they are."""
    held: bool = False
    """The point carries the request's uid."""
    copying: str = ""
    """The Backup that copies this series now, for which the series is locked, "" if none."""
    waits: str = ""
    """Why no Job can be made for now."""
    job: JobSeen = field(default_factory=JobSeen)
    result: AgentResult | None = None
    """What the finished Job said."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The next status, whether the Job is to be made first, and when to look again."""

    status: RestoreStatus
    start: bool = False
    after: timedelta | None = None


def decide(seen: Seen) -> Decision:
    """Given what was seen of a request that is not over, return what to do next. Never raises."""
    if seen.status.phase is RestorePhase.PENDING:
        return _begin(seen)
    entry = seen.status.directory
    if entry is None:
        return _end(seen, RestorePhase.FAILED, "its status does not say what is restored")
    if not seen.job.ours:
        taken = (
            f"Job {seen.job.name} was made by somebody else; delete it and create the request again"
        )
        return _end(seen, RestorePhase.FAILED, taken)
    if seen.result is not None:
        return _judge(seen, entry, seen.result)
    if seen.job.failed:
        return _end(seen, RestorePhase.FAILED, seen.job.message or "its Job failed")
    if seen.job.succeeded:
        return _end(seen, RestorePhase.COMPLETED, "restored; what the Job said is lost")
    if seen.job.exists:
        known = changed(seen.status, directory=changed(entry, job=seen.job.name))
        what = seen.job.message or "the directory is being restored"
        return Decision(_said(seen, known, "Restoring", what), after=POLL)
    return _start(seen, entry)


def too_late(spec: RestoreSpec, now: datetime, skew: timedelta | None) -> UserError | None:
    """Given a request, now, and how far our clock is ahead of the API server's, return why it comes
    too late, None if it does not: by neither clock, for in place it overwrites newer data.
    """
    if spec.not_after is None or max(now, slots_now(now, skew)) <= spec.not_after:
        return None
    return UserError(
        "TooLate",
        f"spec.notAfter: {spec.not_after.isoformat()} is past; create the request again with a "
        "later one if it is still meant",
    )


def _begin(seen: Seen) -> Decision:
    if seen.refusal is not None or seen.directory is None:
        refusal = seen.refusal or UserError("NothingToRestore", "there is nothing to restore")
        status = changed(seen.status, phase=RestorePhase.REFUSED, completed_at=seen.now)
        return Decision(_said(seen, status, refusal.reason, refusal.message))
    status = changed(
        seen.status,
        phase=RestorePhase.RESTORING,
        backup=seen.backup,
        started_at=seen.now,
        directory=seen.directory,
        into=seen.directory.into,
    )
    return Decision(_said(seen, status, "Restoring", "the copy is being held"), after=AT_ONCE)


def _start(seen: Seen, entry: RestoredDirectory) -> Decision:
    if seen.refusal is not None:
        return _end(seen, RestorePhase.FAILED, seen.refusal.message)
    if seen.copying:
        return _wait_for_copy(seen, entry)
    if entry.job is None and not seen.held and seen.now - entry.claimed_at > HOLD_WAIT:
        late = (
            f"point {entry.stamp} could not be held within {HOLD_WAIT}: its destination does not "
            "answer, or another Job works on these copies; create the request again"
        )
        return _end(seen, RestorePhase.FAILED, late)
    what = seen.waits or ("the directory is being restored" if seen.held else "")
    what = what or "the copy is being held, so that nothing removes it meanwhile"
    status = _said(seen, seen.status, "Restoring", what)
    return Decision(status, start=seen.held and not seen.waits, after=POLL)


def _wait_for_copy(seen: Seen, entry: RestoredDirectory) -> Decision:
    """HOLD_WAIT does not run down meanwhile: at the copy's end half of it is left at least."""
    known = seen.status
    if seen.now - entry.claimed_at > HOLD_WAIT / 2:
        known = changed(known, directory=changed(entry, claimed_at=seen.now))
    what = f"waits for the copy under way (Backup {seen.copying})"
    return Decision(_said(seen, known, "Restoring", what), after=COPY_POLL)


def _judge(seen: Seen, entry: RestoredDirectory, result: AgentResult) -> Decision:
    if not result.ok:
        return _end(seen, RestorePhase.FAILED, result.message)
    safety = result.raw.get("safety")
    if isinstance(safety, dict):
        entry = changed(entry, safety=str(safety.get("stamp", ""))[:64] or None)
    known = changed(seen.status, directory=entry)
    return _end(seen, RestorePhase.COMPLETED, result.message or "restored", known)


def _end(
    seen: Seen, phase: RestorePhase, message: str, status: RestoreStatus | None = None
) -> Decision:
    ended = changed(status or seen.status, phase=phase, completed_at=seen.now)
    return Decision(_said(seen, ended, phase.value, message))


def _said(seen: Seen, status: RestoreStatus, reason: str, message: str) -> RestoreStatus:
    return said(status, reason, message, generation=seen.generation, now=seen.now)
