"""Keep the watches on definitions that are there.

Invariants: kopf runs only while every definition of a watched kind is there and served, as it ends
where one is not; a definition that was deleted and made again gets a new watch, and a look at
everything, when its turn to be looked at comes, or when kopf ends by it. While nothing is watched,
`blind` says why, and so does one line of the log. What ends kopf otherwise ends the process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from backstay.domain.clock import Clock
from backstay.domain.errors import BackstayError, Fatal
from backstay.handlers import Host
from backstay.observe import metrics

log = logging.getLogger(__name__)

LOOK: Final = 3.0
"""Seconds between two looks at the definitions."""
STOP_SECONDS: Final = 5.0


class Definitions(Protocol):
    """Where to read the definitions; see `kube.definitions`."""

    async def look(self) -> Mapping[str, str]:
        """Return the uid of each by name, "" for one that is missing."""

    async def glance(self) -> tuple[str, str]:
        """Return name and uid of one of them, of each in turn."""

    async def unserved(self) -> list[str]:
        """Return those whose kind cannot be listed yet."""


class Watching:
    """Starts and stops kopf. `make` makes a host that calls what it is given at its end; `on_back`
    is called when watches stand again after a gap, `on_end` when the process must end.
    """

    def __init__(
        self,
        definitions: Definitions,
        clock: Clock,
        make: Callable[[Callable[[str], None]], Host],
        *,
        on_back: Callable[[], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._definitions = definitions
        self._clock = clock
        self._make = make
        self._on_back = on_back
        self._on_end = on_end
        self._host: Host | None = None
        self._known: Mapping[str, str] | None = None
        self._gap = False
        self._ended = ""
        self._wake = asyncio.Event()
        self.blind: str | None = "nothing is watched yet"
        """Why nothing is watched, None while all is."""

    async def run(self) -> None:
        """Go on until cancelled. Raise Fatal as soon as a look does."""
        try:
            while True:
                self._wake.clear()
                await self._look()
                await self._pause()
        finally:
            await self._stop()

    async def _look(self) -> None:
        try:
            if self._known and self._host is not None and not self._ended:
                name, uid = await self._definitions.glance()
                if self._known.get(name) == uid:
                    return
            found = await self._definitions.look()
            if found == self._known and self._host is not None and not self._ended:
                return
            gone = sorted(name for name, uid in found.items() if not uid)
            gone = gone or await self._definitions.unserved()
        except Fatal:
            raise
        except BackstayError as error:
            self._cannot_look(error)
            return
        if self._ended and found == self._known:
            self._on_end(self._ended)
            return
        if self._known is not None and not self._gap:
            self._gap = True
            names = gone or sorted(n for n in found if found[n] != self._known.get(n))
            log.warning(
                "blind: CustomResourceDefinition %s was deleted; nothing is watched meanwhile",
                ", ".join(names),
            )
        await self._stop()
        self._ended = ""
        if gone:
            metrics.WATCHING.set(0)
            self.blind = f"CustomResourceDefinition {', '.join(gone)} is missing or not served"
            if not self._gap:
                self._gap = True
                log.warning("blind: %s; waiting for it", self.blind)
            return
        self._start(found)

    def _cannot_look(self, error: BackstayError) -> None:
        """Watch all the same: it is the resync that finds what is missed."""
        if self._ended:
            self._on_end(self._ended)
        if self._host is None and not self._gap:
            log.warning("watching without a look at the definitions: %s", error)
            self._start(None)

    def _start(self, found: Mapping[str, str] | None) -> None:
        loop = asyncio.get_running_loop()

        def ended(why: str) -> None:
            loop.call_soon_threadsafe(self._report_end, host, why)

        self._host = host = self._make(ended)
        self._known, self.blind, self._ended = found, None, ""
        host.start()
        metrics.WATCHING.set(1)
        if self._gap:
            self._gap = False
            log.warning("watching again: the definitions are all there")
            self._on_back()

    def _report_end(self, host: Host, why: str) -> None:
        if host is self._host:
            self._ended = why
            self._wake.set()

    async def _stop(self) -> None:
        host, self._host = self._host, None
        if host is not None:
            await asyncio.to_thread(host.stop, STOP_SECONDS)

    async def _pause(self) -> None:
        sleep = asyncio.ensure_future(self._clock.sleep(LOOK))
        wake = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait({sleep, wake}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            wake.cancel()
