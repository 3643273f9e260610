"""One read for many looks: what the whole cluster has in common, or what never changes.

Invariants: an answer is as old as the beginning of its read, and given out for no longer than was
asked for; those who ask meanwhile wait for the read that is under way; a failure is kept by nobody.

Only for what costs a retry or a refusal where it is stale. What a deletion or a verdict rests on
is read by who makes it (docs/design/0003-no-informer-cache.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from datetime import timedelta
from typing import Any, Final, TypeVar, cast

from backstay.domain.clock import Clock

T = TypeVar("T")

MOST: Final = 20_000
"""Answers that are kept: the oldest go first."""


class Shared:
    """Answers by key, each with the time at which its read began."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._found: dict[Hashable, tuple[float, asyncio.Future[Any]]] = {}

    async def read(
        self, key: Hashable, fetch: Callable[[], Coroutine[Any, Any, T]], *, keep: timedelta
    ) -> T:
        """Given what is asked for, how to read it, and how old an answer may be, return it.

        Raise what the read raises. `keep` of zero reads again, and others get that answer too.
        """
        now = self._clock.monotonic()
        began, answer = self._found.get(key, (0.0, None))
        if answer is None or now - began >= keep.total_seconds():
            answer = asyncio.ensure_future(fetch())
            self._found.pop(key, None)
            self._found[key] = now, answer
            if len(self._found) > MOST:
                del self._found[next(iter(self._found))]
        try:
            # Who asked first may be cancelled; those who wait with it are not.
            return cast("T", await asyncio.shield(answer))
        except BaseException:
            if answer.done() and self._found.get(key, (0.0, None))[1] is answer:
                del self._found[key]
            raise
