"""Much of a kind, done side by side: as much at a time as the client has slots for bulk work."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final, TypeAlias

from backstay.domain.errors import BackstayError, Conflict, Fatal, Transient
from backstay.engine.group import run_together
from backstay.kube.client import Client

log = logging.getLogger(__name__)

Item: TypeAlias = tuple[str, Callable[[], Awaitable[bool]]]
"""What it is, for messages, and its work: whether more follows soon."""
_SHOWN: Final = 5
"""Failures that one message names."""


async def each(client: Client, calls: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Given calls that read or write, make them side by side within the slots of the client.

    Raise what the first one that fails raises; the others are cancelled then.
    """

    async def in_slot(call: Callable[[], Awaitable[None]]) -> None:
        # The slots are those of the client, for all passes together: however much there is to do,
        # a dump or a restore finds a connection that is free.
        async with client.bulk:
            await call()

    await run_together(*map(in_slot, calls))


class Work:
    """Items of one pass, whatever happens to each; within one, things happen in order."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.follows = False
        """Whether any item said that more follows soon."""
        self._failures: list[str] = []
        self._lost_race = False

    @property
    def failed(self) -> bool:
        """Whether any item failed or lost a race."""
        return bool(self._failures) or self._lost_race

    async def do(self, *items: Item) -> bool:
        """Given items, do them all side by side; keep failures for later. Return whether all of
        them were done. Raise Fatal at once.
        """
        done: list[str] = []
        await each(self._client, (partial(self._attempt, done, *item) for item in items))
        return len(done) == len(items)

    async def _attempt(
        self, done: list[str], what: str, work: Callable[[], Awaitable[bool]]
    ) -> None:
        try:
            # The work first: after a True on the left, `or` would not do it.
            self.follows = await work() or self.follows
            done.append(what)
        except Fatal:
            raise  # a kind of BackstayError, and no failure of the item: the Lease may be lost
        except Conflict as error:
            # Somebody edited it meanwhile, which is a supported way to act: read again soon.
            log.info("%s changed meanwhile: %s", what, error.message)
            self._lost_race = True
        except BackstayError as error:
            self._failures.append(f"{what}: {error.message}")

    def raise_failures(self, what: object) -> None:
        """Given what they are of, raise Transient if any failed, Conflict if one lost a race."""
        if self._failures:
            reported = self._failures[:_SHOWN]
            if len(self._failures) > _SHOWN:
                reported.append(f"and {len(self._failures) - _SHOWN} more")
            raise Transient(f"{what}: {'; '.join(reported)}")
        if self._lost_race:
            raise Conflict(f"{what}: objects changed during the pass")
