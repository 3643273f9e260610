"""The plan of a RestoreRequest, over all stores and targets: what was seen in, the next status and
steps out.

    Pending -> Restoring -> Verifying -> Completed
       |           +------------+------> Failed
       +-> Refused

    an item:  hold its point, take its turn, prepare its target, fill it, commit
    a failure:  note why, discard what a killed fill left, stop, undo, release

Invariants: which points are restored and where to is written down before anything is done; nothing
is made before the points of all items are held, so that nothing removes one meanwhile (or a person
said that it may go on without), nor before the turn of each has come (`targets/turns.py`); what
somebody else made is never touched. What is made belongs to the request until it is verified or the
request ends; then it is handed over to the user and never deleted by us. What fails is written down
one round before anything is cleaned up, so that a process that dies meanwhile is followed by one
that ends it alike. A failed request leaves no Pod, no claim that never bound, nothing of a
directory that is not whole, and no hold; a claim that is bound is left for a person to look at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from backstay.api.common import changed
from backstay.api.restore_status import RestoreItem, RestorePhase, RestoreStatus
from backstay.domain.errors import Missing, UserError
from backstay.domain.restore.items import (
    HOLDING,
    Move,
    Seen,
    Step,
    broken,
    is_ready,
    move,
    named,
    takes_turn,
    unheld,
)
from backstay.domain.restore.words import into, said, with_passed

POLL: Final = timedelta(seconds=2)
AT_ONCE: Final = timedelta(0)
BUSY_POLL: Final = timedelta(seconds=15)
"""A copy may take hours."""


@dataclass(frozen=True, slots=True)
class Action:
    """One step for one item, by its place in the request."""

    step: Step
    item: int


@dataclass(frozen=True, slots=True)
class Decision:
    """The next status, what to do before it is written, and when to look again (None: never)."""

    status: RestoreStatus
    actions: tuple[Action, ...] = ()
    enters: bool = False
    """A turn is to be taken: the status is written only if nobody is in the way."""
    after: timedelta | None = None


def decide(seen: Seen) -> Decision:
    """Given what was seen of a RestoreRequest, return what to do next. Never raises."""
    if seen.status.phase.final:
        return Decision(seen.status)
    if seen.status.phase is RestorePhase.PENDING:
        return _begin(seen)
    decision = _follow(seen)
    used: dict[str, str] = {}
    for look in seen.items:
        # What a fill says counts for nothing where its target is not ours any more.
        filled = {} if look.target.broken else look.point.fill.passed
        used = {**look.passed, **{w: named(look, why) for w, why in filled.items()}, **used}
    return replace(decision, status=with_passed(decision.status, used))


def in_line(seen: Seen, decision: Decision, others: str) -> Decision:
    """Given a request whose turn was to be taken, what was decided, and who is there, return how it
    waits: no turn was taken.
    """
    what = f"waits for its turn: {others} works on what it restores into"
    status = changed(decision.status, items=seen.status.items)
    return Decision(_said(seen, status, "Restoring", what), after=BUSY_POLL)


def _begin(seen: Seen) -> Decision:
    if seen.waits:
        return Decision(_said(seen, seen.status, "Waiting", seen.waits), after=POLL)
    if seen.refusal is not None or not seen.planned:
        refusal = seen.refusal or UserError("NothingToRestore", "there is nothing to restore")
        # Whoever waits for an end must not take "there is no such snapshot" for a wrong field.
        missing = isinstance(refusal, Missing)
        phase = RestorePhase.FAILED if missing else RestorePhase.REFUSED
        status = changed(seen.status, phase=phase, completed_at=seen.now)
        return Decision(_said(seen, status, refusal.reason, refusal.message))
    status = changed(
        with_passed(seen.status, seen.passed),
        phase=RestorePhase.RESTORING,
        backup=seen.backup,
        started_at=seen.now,
        items=tuple(seen.planned),
        into=into(seen.planned),
    )
    holds = tuple(Action(Step.HOLD, n) for n in range(len(seen.planned)))
    return Decision(_said(seen, status, "Restoring", HOLDING), holds, after=AT_ONCE)


def _follow(seen: Seen) -> Decision:
    pairs = list(zip(seen.status.items, seen.items, strict=True))
    if any(item.failed for item, _ in pairs):
        return _fail(seen)
    for n, (item, look) in enumerate(pairs):
        if why := broken(seen, item, look):
            return _note_failure(seen, n, why)
    # One that waits keeps the others from beginning: all are restored or, as far as can be known
    # before, none is. Those that have begun go on.
    may_begin = all(
        look.begun or item.verified or is_ready(seen, item, look) for item, look in pairs
    )
    takes = [n for n, (i, look) in enumerate(pairs) if takes_turn(i, look)]
    if may_begin and takes:
        return _enter(seen, takes)
    moves = [move(seen, n, may_begin=may_begin) for n in range(len(pairs))]
    return _joined(seen, moves)


def _enter(seen: Seen, takes: Sequence[int]) -> Decision:
    status = seen.status
    for n in takes:
        status = _with_item(status, n, changed(status.items[n], started_at=seen.now))
    status = with_passed(status, unheld(seen))
    return Decision(_said(seen, status, "Restoring", _RESTORING), enters=True, after=AT_ONCE)


_RESTORING: Final = "data is being restored"


def _joined(seen: Seen, moves: Sequence[Move]) -> Decision:
    status = with_passed(changed(seen.status, items=tuple(m.item for m in moves)), unheld(seen))
    verified = all(item.verified for item in status.items)
    over = verified and not any(look.target.committing for look in seen.items)
    if over and status == seen.status:
        found = "; ".join(
            named(look, item.verified or "")
            for item, look in zip(status.items, seen.items, strict=True)
        )
        return _end(seen, status, RestorePhase.COMPLETED, found)
    actions = tuple(Action(m.step, n) for n, m in enumerate(moves) if m.step is not None)
    makes = any(a.step in (Step.PREPARE, Step.FILL) for a in actions)
    verifies = not makes and all(look.point.fill.verifies for look in seen.items)
    phase = RestorePhase.VERIFYING if verifies else RestorePhase.RESTORING
    usual = "what was restored is being verified" if verifies else _RESTORING
    message = "; ".join(dict.fromkeys(m.waits for m in moves if m.waits)) or usual
    busy = any(look.point.busy for look in seen.items) and not any(i.begun for i in seen.items)
    after = AT_ONCE if over else BUSY_POLL if busy else POLL
    return Decision(
        _said(seen, changed(status, phase=phase), phase.value, message), actions, after=after
    )


def _note_failure(seen: Seen, n: int, why: str) -> Decision:
    """Write down why the request fails: what says so goes next."""
    fill, item = seen.items[n].point.fill, seen.status.items[n]
    # What a failure in place says of the way back stays with it.
    failed = changed(item, failed=why[:4096], safety=fill.safety or item.safety)
    status = _with_item(seen.status, n, failed)
    reported = named(seen.items[n], why)
    return Decision(_said(seen, status, status.phase.value, reported), after=AT_ONCE)


def _fail(seen: Seen) -> Decision:
    status, looks = seen.status, seen.items
    pairs = list(enumerate(zip(status.items, looks, strict=True)))
    why = "; ".join(named(look, i.failed) for _, (i, look) in pairs if i.failed)
    rests = [(n, look.point.fill.rest) for n, (_, look) in pairs if look.point.fill.rest]
    if under_way := [(n, rest) for n, rest in rests if not rest.over]:
        actions = tuple(Action(Step.DISCARD, n) for n, rest in under_way if not rest.asked)
        trouble = "; ".join(rest.trouble for _, rest in under_way if rest.trouble)
        what = f"{why}; what is left is being removed: {trouble}".removesuffix(": ")
        return Decision(_said(seen, status, status.phase.value, what), actions, after=POLL)
    if stays := "; ".join(rest.trouble for _, rest in rests if rest.trouble):
        why += f"; what it left could not be removed: {stays}"
    if left := [
        look.target.called for _, (i, look) in pairs if not i.verified and look.target.leaves
    ]:
        why += f"; left to be looked at, then to be deleted: {', '.join(left)}"
    return _end(seen, status, RestorePhase.FAILED, why)


def _end(seen: Seen, status: RestoreStatus, phase: RestorePhase, message: str) -> Decision:
    actions = tuple(
        Action(step, n)
        for n, item in enumerate(status.items)
        for step in (Step.STOP, Step.UNDO if _undoes(item) else None, Step.RELEASE)
        if step is not None
    )
    ended = changed(status, phase=phase, completed_at=seen.now)
    return Decision(_said(seen, ended, phase.value, message), actions)


def _undoes(item: RestoreItem) -> bool:
    """Whether it was not handed over, or not to its end."""
    return item.verified is None or item.failed is not None


def _with_item(status: RestoreStatus, n: int, item: RestoreItem) -> RestoreStatus:
    return changed(status, items=(*status.items[:n], item, *status.items[n + 1 :]))


def _said(seen: Seen, status: RestoreStatus, reason: str, message: str) -> RestoreStatus:
    return said(status, reason, message, generation=seen.generation, now=seen.now)
