"""The plan of a RestoreRequest for a directory: what was seen in, the next status and steps out.

    Pending -> Restoring -> Completed
       |           +------> Failed
       +-> Refused

Invariants: what is restored and where is written down before anything is done; the Job is made
only when the point carries the request's uid, so that nothing removes it meanwhile (or a person
said that it may go on without), and when its turn to write there has come (`restore_places`); the
agent gives a new directory its name when it is whole, and refuses one that is there already. What
a killed agent has left is removed before the request is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from backstay.api.common import changed
from backstay.api.restore import RestoredDirectory, RestorePhase, RestoreSpec, RestoreStatus
from backstay.domain.clock_skew import slots_now
from backstay.domain.errors import UserError
from backstay.domain.jobs import JobSeen
from backstay.domain.restore.acknowledgement import Word, with_word
from backstay.domain.restore.claims import AT_ONCE, POLL, said, with_passed
from backstay.domain.stores.copies.agent_result import AgentResult

HOLD_WAIT: Final = timedelta(minutes=30)
"""How long a destination may take until the point is held, while nothing is copied there."""
HOLD_PATIENCE: Final = timedelta(minutes=2)
"""How long that is waited for where a person said that it may go without."""
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
    hold_needed: bool = True
    """False: what would hold it cannot reach it, which a person passed over."""
    hold_trouble: str = ""
    """What the last look at its destination said, if it failed."""
    may_go_unheld: bool = False
    """A person said so."""
    passed: Mapping[str, str] = field(default_factory=dict)
    """By value of spec.acknowledge, what it passed over at this look."""
    copying: str = ""
    """The Backup that copies this series now, for which the series is locked, "" if none."""
    waits: str = ""
    """Why no Job can be made for now."""
    job: JobSeen = field(default_factory=JobSeen)
    result: AgentResult | None = None
    """What the finished Job said."""
    rest: JobSeen = field(default_factory=JobSeen)
    """The Job that removes what a killed one has left."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The next status, what is to be done first, and when to look again."""

    status: RestoreStatus
    enters: bool = False
    """Its turn is to be taken: the status is written only if nobody is in the way."""
    start: bool = False
    """The Job is to be made."""
    discard: bool = False
    """The Job is to be made that removes what is left."""
    after: timedelta | None = None


def decide(seen: Seen) -> Decision:
    """Given what was seen of a request that is not over, return what to do next. Never raises."""
    decision = _decide(seen)
    return replace(decision, status=with_passed(decision.status, seen.passed))


def _decide(seen: Seen) -> Decision:
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
        return _after_kill(seen)
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
    waited = seen.now - entry.claimed_at
    unheld = not seen.held and seen.may_go_unheld and waited > HOLD_PATIENCE
    if unheld:
        reported = (
            f"the point is not held: {seen.hold_trouble or 'its destination does not answer'}"
        )
        seen = replace(seen, passed={**seen.passed, Word.NOT_HELD.value: reported})
        seen = replace(seen, status=with_passed(seen.status, seen.passed))
    ready = seen.held or not seen.hold_needed or unheld
    if entry.job is None and not ready and waited > HOLD_WAIT:
        return _end(seen, RestorePhase.FAILED, _not_held(seen, entry))
    if seen.waits or not ready:
        what = (seen.waits if ready else "") or _holding(seen)
        return Decision(_said(seen, seen.status, "Restoring", what), after=POLL)
    if entry.started_at is None:
        turn = changed(seen.status, directory=changed(entry, started_at=seen.now))
        what = "the directory is being restored"
        return Decision(_said(seen, turn, "Restoring", what), enters=True, after=AT_ONCE)
    status = _said(seen, seen.status, "Restoring", "the directory is being restored")
    return Decision(status, start=True, after=POLL)


def _holding(seen: Seen) -> str:
    more = f" ({seen.hold_trouble})" if seen.hold_trouble else ""
    return f"the copy is being held, so that nothing removes it meanwhile{more}"


def _not_held(seen: Seen, entry: RestoredDirectory) -> str:
    why = seen.hold_trouble or "its destination does not answer, or is busy with copies"
    late = f"point {entry.stamp} could not be held within {HOLD_WAIT}: {why}"
    return f"{with_word(late, Word.NOT_HELD)}, in another request"


def in_line(seen: Seen, others: str) -> Decision:
    """Given a request whose turn was to be taken and who is there, return how it waits."""
    status = with_passed(seen.status, seen.passed)
    what = f"waits for its turn: {others} works on what it restores into"
    return Decision(_said(seen, status, "Restoring", what), after=COPY_POLL)


def _after_kill(seen: Seen) -> Decision:
    """Its outcome is unknown, so something may be left."""
    failed, rest = seen.job.message or "its Job failed", seen.rest
    if not rest.exists:
        status = _said(seen, seen.status, "Restoring", f"{failed}; what is left is being removed")
        return Decision(status, discard=True, after=POLL)
    if rest.ours and not rest.finished:
        what = f"{failed}; what is left is being removed: {rest.message}".removesuffix(": ")
        return Decision(_said(seen, seen.status, "Restoring", what), after=POLL)
    if not rest.succeeded or not rest.ours:
        failed = f"{failed}; what it left could not be removed: {rest.message or rest.name}"
    return _end(seen, RestorePhase.FAILED, failed)


def _wait_for_copy(seen: Seen, entry: RestoredDirectory) -> Decision:
    """HOLD_WAIT does not run down meanwhile: at the copy's end half of it is left at least."""
    known = seen.status
    if seen.now - entry.claimed_at > HOLD_WAIT / 2:
        known = changed(known, directory=changed(entry, claimed_at=seen.now))
    what = f"waits for the copy under way (Backup {seen.copying})"
    return Decision(_said(seen, known, "Restoring", what), after=COPY_POLL)


def _judge(seen: Seen, entry: RestoredDirectory, result: AgentResult) -> Decision:
    safety = result.raw.get("safety")
    if isinstance(safety, dict):
        entry = changed(entry, safety=str(safety.get("stamp", ""))[:64] or None)
    known = changed(seen.status, directory=entry)
    if isinstance(used := result.raw.get("acknowledged"), dict):
        known = with_passed(known, {str(word): str(why) for word, why in used.items()})
    if not result.ok:
        return _end(seen, RestorePhase.FAILED, result.message, known)
    return _end(seen, RestorePhase.COMPLETED, result.message or "restored", known)


def _end(
    seen: Seen, phase: RestorePhase, message: str, status: RestoreStatus | None = None
) -> Decision:
    ended = changed(status or seen.status, phase=phase, completed_at=seen.now)
    return Decision(_said(seen, ended, phase.value, message))


def _said(seen: Seen, status: RestoreStatus, reason: str, message: str) -> RestoreStatus:
    return said(status, reason, message, generation=seen.generation, now=seen.now)
