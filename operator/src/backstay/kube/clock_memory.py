"""What the Lease remembers of our clock, and what this process knows besides.

Invariants: a jump is known from the moment of the next question on, and kept until a Lease that has
it was written; the Lease's word counts after that, so a person who takes the note off is heard at
the next renewal.
"""

from __future__ import annotations

import logging
from datetime import datetime

from backstay.domain import clock_trust, labels, objects
from backstay.domain.clock import Clock
from backstay.domain.clock_trust import Jump, Reading
from backstay.domain.errors import DataError
from backstay.domain.objects import Obj, dig
from backstay.domain.retention.brakes import Brake
from backstay.domain.times import parse_time

log = logging.getLogger(__name__)


class ClockMemory:
    """The memory of the Lease `namespace`/`lease`."""

    def __init__(self, clock: Clock, namespace: str, lease: str) -> None:
        self._clock = clock
        self._address = namespace, lease
        self._anchor: Reading | None = None
        self._note: str | None = None
        self._unwritten = False

    def brake(self) -> Brake | None:
        """Return why our clock is not to be believed, None if it may be."""
        self._compare()
        namespace, lease = self._address
        now = self._clock.now()
        return clock_trust.brake(self._note, now, namespace=namespace, lease=lease)

    def skipped(self) -> tuple[datetime, datetime] | None:
        """Return the time (after, until] that our clock skipped for certain, if any."""
        self._compare()
        return clock_trust.skipped(self._note)

    def take_over(self, lease: Obj) -> None:
        """Given another's Lease that is about to be taken, compare our clock with what it says."""
        self._note = objects.annotations(lease).get(labels.CLOCK_JUMPED)
        self._unwritten = False
        try:
            renewed = parse_time(str(dig(lease, "spec", "renewTime", default="")))
        except DataError:
            return  # Not written by one of us: there is nothing to compare with.
        if jump := clock_trust.found(renewed, self._clock.now()):
            self._remember(jump)

    def metadata(self, *, new: bool = False) -> Obj:
        """Return what a write of the Lease must carry; `new`: there is no Lease to be patched."""
        self._compare()
        if self._note is None or not (self._unwritten or new):
            return {}
        return {"annotations": {labels.CLOCK_JUMPED: self._note}}

    def written(self, lease: Obj) -> None:
        """Given the Lease as we wrote it, take its word."""
        note = objects.annotations(lease).get(labels.CLOCK_JUMPED)
        if not self._unwritten or note == self._note:
            self._note, self._unwritten = note, False

    def _compare(self) -> None:
        now = Reading(self._clock.now(), self._clock.monotonic())
        if self._anchor is None:
            self._anchor = now
        elif jump := clock_trust.stepped(self._anchor, now):
            self._anchor = now
            self._remember(jump)

    def _remember(self, jump: Jump) -> None:
        log.warning("the clock jumped: it says %s, not %s", jump.seen, jump.expected)
        self._note, self._unwritten = clock_trust.to_note(jump), True
