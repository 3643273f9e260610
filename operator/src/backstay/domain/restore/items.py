"""One item of a RestoreRequest: whether it can be restored, whether it may begin, its next step.

Invariant: what stands against an item counts until something was made for it; from then on only its
fill and its target say how it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from backstay.api.common import changed
from backstay.api.restore_status import RestoreItem, RestoreStatus
from backstay.domain.errors import UserError
from backstay.domain.restore.acknowledgement import Word, with_word
from backstay.domain.restore.sights import ItemSeen

HOLD_WAIT: Final = timedelta(minutes=30)
"""How long a store may take until a point is held, while its series is not busy."""
HOLD_PATIENCE: Final = timedelta(minutes=2)
"""How long that is waited for where a person said that it may go without."""
HOLDING: Final = "the point is being held, so that nothing removes it meanwhile"


class Step(StrEnum):
    """What to do for one item of the request. Each is idempotent."""

    HOLD = "hold"
    PREPARE = "prepare"
    """Make the target."""
    FILL = "fill"
    COMMIT = "commit"
    """Hand the target over."""
    STOP = "stop"
    """End and remove what fills or verifies."""
    DISCARD = "discard"
    """Remove what a killed fill left."""
    UNDO = "undo"
    """Remove the target that was made, or hand over what holds data."""
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a decision on one RestoreRequest rests on."""

    now: datetime
    generation: int
    status: RestoreStatus
    refusal: UserError | None = None
    """When Pending: why nothing is restored."""
    backup: str | None = None
    planned: Sequence[RestoreItem] = ()
    """When Pending: the items, all found restorable."""
    late: UserError | None = None
    """It is too late to begin."""
    waits: str = ""
    """When Pending: what it waits for until it is known what it comes to, "" if for nothing."""
    items: Sequence[ItemSeen] = ()
    """Under way: a look at each item."""
    may_go_unheld: bool = False
    """A person said so."""
    passed: dict[str, str] = field(default_factory=dict)
    """When Pending: by value of spec.acknowledge, what it passed over."""


def broken(seen: Seen, item: RestoreItem, look: ItemSeen) -> str:
    """Given an item and a look at it, return why it never can be restored, "" if it can."""
    if item.verified is not None:
        return look.target.broken if look.target.committing else ""
    point, target = look.point, look.target
    if why := target.broken or point.lost or point.fill.failed:
        return why
    if look.begun:
        return ""  # What comes up now is left to the fill.
    if refusal := seen.late or point.refusal or target.refusal:
        return refusal.message
    if not point.busy and not _is_held(seen, item, look) and _waited(seen, item) > HOLD_WAIT:
        why = point.hold_trouble or "its store does not answer, or is busy"
        late = f"point {item.ref} could not be held within {HOLD_WAIT}: {why}"
        return f"{with_word(late, Word.NOT_HELD)}, in another request"
    return ""


def _waited(seen: Seen, item: RestoreItem) -> timedelta:
    return seen.now - item.claimed_at


def _goes_unheld(seen: Seen, item: RestoreItem, look: ItemSeen) -> bool:
    return seen.may_go_unheld and not look.point.held and _waited(seen, item) > HOLD_PATIENCE


def _is_held(seen: Seen, item: RestoreItem, look: ItemSeen) -> bool:
    """Whether its point is held, or nobody needs it to be."""
    return look.point.held or not look.point.hold_needed or _goes_unheld(seen, item, look)


def is_ready(seen: Seen, item: RestoreItem, look: ItemSeen) -> bool:
    """Given an item that has not begun, return whether nothing keeps it from beginning."""
    waits = look.point.busy or look.point.waits or look.target.waits
    return not waits and _is_held(seen, item, look)


def takes_turn(item: RestoreItem, look: ItemSeen) -> bool:
    """Given an item, return whether its turn is yet to come."""
    new = not look.begun and item.verified is None
    return new and look.target.shared and item.started_at is None


def unheld(seen: Seen) -> dict[str, str]:
    """Given what was seen of all items, return the use of NotHeld, if it is used."""
    for item, look in zip(seen.status.items, seen.items, strict=True):
        needed = look.point.hold_needed and not look.begun and not look.point.busy
        if needed and _goes_unheld(seen, item, look):
            why = look.point.hold_trouble or "its store does not answer"
            return {Word.NOT_HELD.value: f"the point is not held: {why}"}
    return {}


@dataclass(frozen=True, slots=True)
class Move:
    """The next step of one item."""

    item: RestoreItem
    step: Step | None = None
    waits: str = ""
    """What it waits for, "" if nothing is out of the ordinary."""


def move(seen: Seen, n: int, *, may_begin: bool) -> Move:
    """Given the place of an item that can be restored, and whether those that have not begun may,
    return its next step.
    """
    look, before = seen.items[n], seen.status.items[n]
    fill = look.point.fill
    item = changed(
        before,
        claim_uid=look.target.claim_uid or before.claim_uid,
        job=fill.job or before.job,
        safety=fill.safety or before.safety,
    )
    if item.verified is not None:
        waits = named(look, look.target.waits)
        return Move(item, Step.COMMIT, waits) if look.target.committing else Move(item)
    if not look.begun and not may_begin:
        return _wait(seen, item, look)
    if not look.target.ready:
        return Move(item, Step.PREPARE)
    if fill.done:
        return Move(changed(item, verified=(fill.says or "restored")[:1024]), Step.COMMIT)
    if not fill.begun:
        return Move(item, Step.FILL)
    return Move(item, waits=named(look, fill.says) if fill.says else "")


def _wait(seen: Seen, item: RestoreItem, look: ItemSeen) -> Move:
    point = look.point
    if point.busy:
        # HOLD_WAIT does not run down meanwhile: at the end half of it is left at least.
        if _waited(seen, item) > HOLD_WAIT / 2:
            item = changed(item, claimed_at=seen.now)
        return Move(item, None, named(look, point.busy))
    if _is_held(seen, item, look):
        return Move(item, None, named(look, point.waits or look.target.waits))
    more = f" ({point.hold_trouble})" if point.hold_trouble else ""
    return Move(item, Step.HOLD, f"{HOLDING}{more}")


def named(look: ItemSeen, words: str | None) -> str:
    """Return what is said of an item with its name, where the request does not say it."""
    return f"{look.target.called}: {words}" if look.target.called and words else words or ""
