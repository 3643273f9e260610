"""Whether our clock may be believed: what it did against time that passed, and what is on record.

The API server's Date shows a clock that differs from it. It shows nothing where both are wrong
together, as on a cluster of one node, or with one wrong time server for all. So what our clock said
is compared with what it should have said: while we run, by the monotonic clock; at a start, by
the moment of the last renewal in the Lease. A difference is a jump. It goes onto the Lease in the
very write that replaces that moment, and holds marks and sweeps for a day.

Invariants: nothing is deleted for as long as nobody can have looked at a jump; a person may say go
on at once, by taking the note off; a Lease that is new, or older than this, is no jump.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from backstay.api.common import format_time
from backstay.domain import labels
from backstay.domain.errors import DataError
from backstay.domain.retention.brakes import Brake
from backstay.domain.times import parse_time
from backstay.durations import format_duration

STEP: Final = timedelta(minutes=10)
"""What a clock may be off what it should say: it is corrected by less."""
GAP: Final = timedelta(hours=6)
"""How long the operator may have been down before nobody can distinguish that from a clock that was
set: a quarter of the grace that sweeps wait for."""
HELD: Final = timedelta(hours=24)
"""How long a jump holds marks and sweeps: the grace that it may have taken away."""
JUMPED: Final = "ClockJumped"


@dataclass(frozen=True, slots=True)
class Reading:
    """What both clocks of this process said at one moment."""

    wall: datetime
    monotonic: float


@dataclass(frozen=True, slots=True)
class Jump:
    """Our clock said another time than it should have."""

    seen: datetime
    """What it said when that was noticed."""
    expected: datetime
    """What it should have said; at a start, when the Lease was last renewed."""
    running: bool
    """Whether it was noticed while we ran, and is certain; or at a start."""


def stepped(before: Reading, now: Reading) -> Jump | None:
    """Given two readings of one process, return the jump between them, if there is one."""
    expected = before.wall + timedelta(seconds=now.monotonic - before.monotonic)
    if abs(now.wall - expected) <= STEP:
        return None
    return Jump(now.wall, expected, running=True)


def found(renewed: datetime, now: datetime) -> Jump | None:
    """Given when the Lease was last renewed by its holder's clock, and now by ours, return the
    jump that may lie between, if there may be one.
    """
    if renewed - STEP <= now <= renewed + GAP:
        return None
    return Jump(now, renewed, running=False)


def to_note(jump: Jump) -> str:
    """Given a jump, return the text that the Lease keeps of it."""
    return json.dumps(
        {
            "seen": format_time(jump.seen),
            "expected": format_time(jump.expected),
            "running": jump.running,
        }
    )


def from_note(text: str) -> Jump:
    """Given what the Lease keeps, return the jump. Raise DataError if it is none."""
    try:
        found = json.loads(text)
        seen, expected = parse_time(found["seen"]), parse_time(found["expected"])
        return Jump(seen, expected, running=bool(found["running"]))
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{text[:100]!r} is no note of a clock that jumped") from error


def brake(note: str | None, now: datetime, *, namespace: str, lease: str) -> Brake | None:
    """Given what the Lease keeps (None: nothing), now and the Lease's address, return why marks and
    sweeps are held, None if they are not.
    """
    if note is None:
        return None
    go_on = f"kubectl annotate lease {lease} -n {namespace} {labels.CLOCK_JUMPED}-"
    try:
        jump = from_note(note)
        until = jump.seen + HELD
        reported = f"{_words(jump)}: nothing is marked or swept until {format_time(until)}. Check "
    except (DataError, OverflowError):
        return Brake(
            JUMPED,
            f"the annotation {labels.CLOCK_JUMPED} of the lease {namespace}/{lease} cannot be "
            f"read: nothing is marked or swept. To take it off, run: {go_on}",
        )
    if now >= until:
        return None
    return Brake(
        JUMPED,
        f"{reported}the time of the nodes; if it is right now, and marks and dates may be followed "
        f"at once, run: {go_on}",
    )


def skipped(note: str | None) -> tuple[datetime, datetime] | None:
    """Given the same, return the time (after, until] that a clock skipped for certain, if any."""
    try:
        jump = from_note(note) if note is not None else None
    except DataError:
        return None
    if jump is None or not jump.running or jump.seen <= jump.expected:
        return None
    return jump.expected, jump.seen


def _words(jump: Jump) -> str:
    said, expected = format_time(jump.seen), format_time(jump.expected)
    ahead = jump.seen > jump.expected
    size = format_duration(abs(jump.seen - jump.expected))
    if jump.running:
        return f"the operator's clock was set {'ahead' if ahead else 'back'} by {size}, to {said}"
    if ahead:
        return (
            f"the operator was down for {size} until {said}, or its clock was set ahead meanwhile: "
            "nobody can know"
        )
    return (
        f"the operator's clock said {said} at its start, and {expected}, which is {size} later, "
        "when the operator last ran"
    )
