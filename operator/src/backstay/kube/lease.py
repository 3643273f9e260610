"""One active process: a Lease of coordination.k8s.io, held by whoever may write.

Invariants:

- We hold the Lease from the moment before a successful renew request was *sent*, for its
  duration times `HOLD`; everybody else waits for its whole duration from when they *saw* the
  last renewal. Both are measured on the own monotonic clock: clocks are never compared, and
  two processes can both believe to lead only if one's clock runs a fifth slower.
- The Lease is also the memory of our clock (clock_memory): a write that replaces renewTime carries
  what there is to note of the difference.
- Every change tests the resourceVersion: of two who reach for the Lease, one gets 409.
- After the deadline `fence()` raises Fatal for ever: a lost Lease is not taken again by the
  same process, which is to end.

Deleting the Lease by hand takes it from its holder without the wait: not to be done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto

from backstay.domain import objects
from backstay.domain.clock import Clock
from backstay.domain.errors import BackstayError, Conflict, Fatal, NotFound
from backstay.domain.objects import Obj, dig
from backstay.kube.client import Client
from backstay.kube.clock_memory import ClockMemory
from backstay.kube.resources import LEASE

log = logging.getLogger(__name__)

DURATION = timedelta(seconds=15)
RENEW = timedelta(seconds=5)
HOLD = 0.8
"""Part of the duration after which we stop; the rest covers a write that is on its way."""
RETRY = 0.2
"""Pause after a failed try to renew, as a part of the pause after a good one."""
SPREAD = 0.2


class _Turn(Enum):
    HELD = auto()
    FAILED = auto()
    TAKEN = auto()


@dataclass(frozen=True, slots=True)
class _Seen:
    """What somebody else's Lease said, and since when (monotonic) it has said that."""

    renewal: tuple[str, str, str]
    since: float


class Elector:
    """Takes and keeps the Lease `namespace`/`name` for `identity` (unique to this process).

    `client` must be a client of its own without a fence: the Lease cannot depend on itself.
    """

    def __init__(
        self,
        client: Client,
        clock: Clock,
        *,
        namespace: str,
        name: str,
        identity: str,
        duration: timedelta = DURATION,
        renew: timedelta = RENEW,
    ) -> None:
        self._client = client
        self._clock = clock
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._duration = duration
        self._renew_every = renew
        self._retry = renew * RETRY
        self._deadline: float | None = None
        self._lost = False
        self._version = ""
        self._seen: _Seen | None = None
        self.memory = ClockMemory(clock, namespace, name)
        """What the Lease remembers of our clock."""

    def deadline(self) -> float | None:
        """Return until when (monotonic seconds) we may write, None before the first time."""
        return self._deadline

    def fence(self) -> None:
        """Return if we may write now. Raise Fatal if the Lease is not, or no more, ours."""
        if self._deadline is None:
            raise Fatal(f"the lease {self._namespace}/{self._name} is not held: no write")
        if self._lost or self._clock.monotonic() >= self._deadline:
            self._lost = True
            raise Fatal(f"the lease {self._namespace}/{self._name} is lost: no write")

    async def acquire(self) -> None:
        """Return when the Lease is ours, however long that takes."""
        log.info("waiting for the lease %s/%s as %s", self._namespace, self._name, self._identity)
        while True:
            if await self._attempt(self._duration.total_seconds()) is _Turn.HELD:
                log.info("the lease %s/%s is ours", self._namespace, self._name)
                return
            await self._clock.sleep(self._clock.jitter(2 * self._retry.total_seconds(), SPREAD))

    async def run(self, on_lost: Callable[[], None]) -> None:
        """Given what to do when the Lease is lost, keep an acquired Lease; return when lost.

        `on_lost` is called at the deadline at the latest, also while a request hangs. Cancel to
        stop; then, when nothing writes any more, `release()`.
        """
        pause = self._renew_every
        while not self._lost:
            left = self._left()
            wait = self._clock.jitter(pause.total_seconds(), SPREAD)
            await self._clock.sleep(min(wait, left))
            turn = await self._attempt(self._left())
            if turn is _Turn.TAKEN or self._left() <= 0:
                self._lost = True
            pause = self._renew_every if turn is _Turn.HELD else self._retry
        log.critical("the lease %s/%s is lost", self._namespace, self._name)
        on_lost()

    async def release(self) -> None:
        """Give the Lease back, so that the next one need not wait. Failing only costs time."""
        if self._deadline is None or self._lost:
            return
        self._lost = True
        body = self._body(holder="")
        body["metadata"] = {"resourceVersion": self._version, **self.memory.metadata()}
        try:
            await self._client.patch(LEASE, self._name, self._namespace, body)
        except BackstayError as error:
            log.warning("the lease was not released, the next one has to wait: %s", error)

    def _left(self) -> float:
        deadline = self._clock.monotonic() if self._deadline is None else self._deadline
        return deadline - self._clock.monotonic()

    async def _attempt(self, seconds: float) -> _Turn:
        """Try once to take or to renew, but not for longer than `seconds`."""
        if seconds <= 0:
            return _Turn.FAILED
        attempt = asyncio.ensure_future(self._take_or_renew())
        alarm = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait({attempt, alarm}, return_when=asyncio.FIRST_COMPLETED)
            if attempt.done():
                return attempt.result()
            log.warning("the lease: no answer within %.1f s", seconds)
            return _Turn.FAILED
        finally:
            attempt.cancel()
            alarm.cancel()
            await asyncio.gather(attempt, alarm, return_exceptions=True)

    async def _take_or_renew(self) -> _Turn:
        sent = self._clock.monotonic()
        try:
            if self._version:
                try:
                    return self._hold(await self._write(self._version, {}), sent)
                except (Conflict, NotFound):
                    # Written by us without an answer, by hand, or by who took it: look.
                    sent = self._clock.monotonic()
            return await self._look_and_take(sent)
        except Conflict:
            return _Turn.FAILED
        except BackstayError as error:
            log.warning("the lease: %s", error)
            return _Turn.FAILED

    async def _look_and_take(self, sent: float) -> _Turn:
        lease = await self._client.find(LEASE, self._name, self._namespace)
        if lease is None:
            body = self._body(self._identity, acquired=True, transitions=0)
            address = {"name": self._name, "namespace": self._namespace}
            body["metadata"] = {**address, **self.memory.metadata(new=True)}
            return self._hold(await self._client.create(LEASE, body), sent)
        holder = dig(lease, "spec", "holderIdentity", default="")
        if holder == self._identity:
            return self._hold(await self._write(objects.version(lease), {}), sent)
        if self._deadline is not None:
            log.warning("the lease is now held by %s", holder or "nobody")
            return _Turn.TAKEN
        if holder and not self._expired(lease):
            return _Turn.FAILED
        self.memory.take_over(lease)
        transitions = dig(lease, "spec", "leaseTransitions", default=0) + 1
        changes = {"acquireTime": self._stamp(), "leaseTransitions": transitions}
        sent = self._clock.monotonic()
        return self._hold(await self._write(objects.version(lease), changes), sent)

    def _expired(self, lease: Obj) -> bool:
        """Return whether another's Lease has said the same for its whole duration."""
        spec = objects.dig(lease, "spec", default={})
        renewal = (
            str(spec.get("holderIdentity")),
            str(spec.get("renewTime")),
            str(spec.get("leaseTransitions")),
        )
        now = self._clock.monotonic()
        if self._seen is None or self._seen.renewal != renewal:
            self._seen = _Seen(renewal, now)
        lasts = spec.get("leaseDurationSeconds") or self._duration.total_seconds()
        return now - self._seen.since >= float(lasts)

    def _hold(self, lease: Obj, sent: float) -> _Turn:
        self.memory.written(lease)
        self._version = objects.version(lease)
        self._deadline = sent + self._duration.total_seconds() * HOLD
        return _Turn.HELD

    async def _write(self, version: str, changes: Obj) -> Obj:
        body = self._body(self._identity)
        body["metadata"] = {"resourceVersion": version, **self.memory.metadata()}
        body["spec"] |= changes
        return await self._client.patch(LEASE, self._name, self._namespace, body)

    def _body(self, holder: str, *, acquired: bool = False, transitions: int | None = None) -> Obj:
        spec: Obj = {
            "holderIdentity": holder,
            "leaseDurationSeconds": max(1, round(self._duration.total_seconds())),
            "renewTime": self._stamp(),
        }
        if acquired:
            spec["acquireTime"] = self._stamp()
        if transitions is not None:
            spec["leaseTransitions"] = transitions
        return {"spec": spec}

    def _stamp(self) -> str:
        return micro_time(self._clock.now())


def identity(pod: str, clock: Clock) -> str:
    """Given the pod's name and a clock, return a name for this process: a restarted container has
    the pod's name and its process id 1, but must not believe that it leads.
    """
    return f"{pod}_{micro_time(clock.now())}"


def micro_time(moment: datetime) -> str:
    """Given an aware datetime, return it as Kubernetes' MicroTime (UTC, six decimals)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
