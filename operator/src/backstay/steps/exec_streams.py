"""Exec streams of work that runs on in its container, whoever listens.

Invariants: a stream belongs to a task of this object and is only a wake-up; what happened is always
read by a second, short exec, so the normal path and the one after a restart of the operator are
the same. At most one stream per key.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from backstay.domain.errors import BackstayError, Transient
from backstay.dumps.base import Command
from backstay.kube.exec import Exec
from backstay.kube.exec_frames import ExecResult

log = logging.getLogger(__name__)

SHORT: Final = timedelta(seconds=30)
"""Deadline of the execs that only read."""
SLACK: Final = timedelta(minutes=2)
"""A stream outlives the script's own deadline, so that the script has the last word."""


@dataclass(frozen=True, slots=True)
class Where:
    """A container."""

    namespace: str
    pod: str
    container: str


class Streams:
    """The open streams, and the last output of those that ended. To be closed."""

    def __init__(self, executor: Exec) -> None:
        self._executor = executor
        self._tasks: dict[Hashable, asyncio.Task[None]] = {}
        self._ends: dict[Hashable, bytes | str] = {}
        """What a stream printed, or what was wrong with it; gone with the process, as they are."""

    async def close(self) -> None:
        """Drop the open streams; the work itself runs on in its containers."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def open(
        self,
        key: Hashable,
        where: Where,
        command: Command,
        *,
        limit: timedelta,
        wake: Callable[[], None],
    ) -> None:
        """Given a command that ends within `limit`, run it unless a stream of the key is open;
        wake at its end.
        """
        if key in self._tasks:
            return
        # What the last stream said is of another start.
        self._ends.pop(key, None)
        task = asyncio.create_task(self._follow(key, where, command, limit + SLACK), name=str(key))
        self._tasks[key] = task

        def ended(_: asyncio.Task[None]) -> None:
            # In this order: who is woken asks first whether the stream is open.
            self._tasks.pop(key, None)
            wake()

        task.add_done_callback(ended)

    def lives(self, key: Hashable) -> bool:
        """Given a key, return whether a stream of it is open."""
        return key in self._tasks

    def printed(self, key: Hashable) -> bytes | None:
        """Given a key, return what its last stream printed when it ended well, else None."""
        end = self._ends.get(key)
        return end if isinstance(end, bytes) else None

    def trouble(self, key: Hashable) -> str:
        """Given a key, return what was wrong with its last stream, "" if nothing."""
        end = self._ends.get(key)
        return end if isinstance(end, str) else ""

    def forget(self, run: str) -> None:
        """Given the uid of a run that is over (the first part of its keys), drop its last words."""
        for key in [k for k in self._ends if isinstance(k, tuple) and k and k[0] == run]:
            del self._ends[key]

    async def ask(self, where: Where, command: Command) -> bytes:
        """Given a short command, return what it prints. Raise what the exec raises, and Transient
        with its last words if it fails.
        """
        result = await self._run(where, command, SHORT)
        if result.exit_code != 0:
            raise Transient(_last_words(result))
        return result.stdout

    async def _follow(
        self, key: Hashable, where: Where, command: Command, deadline: timedelta
    ) -> None:
        try:
            result = await self._run(where, command, deadline)
        except BackstayError as error:
            # No verdict: the work runs on in its container, and the next look reads what it writes.
            self._ends[key] = error.message
            log.info("stream ended: %s: %s", key, error.message)
            return
        if result.exit_code != 0:
            log.info("script exited %d: %s", result.exit_code, key)
            self._ends[key] = _last_words(result)
            return
        self._ends[key] = result.stdout

    async def _run(self, where: Where, command: Command, deadline: timedelta) -> ExecResult:
        return await self._executor.run(
            where.namespace,
            where.pod,
            where.container,
            command.argv,
            stdin=command.stdin,
            timeout=deadline,
        )


def _last_words(result: ExecResult) -> str:
    words = " ".join((result.stderr or result.stdout).decode("utf-8", "replace").split())
    # The end of it: tools say last what went wrong.
    return words[-500:] or f"the script exited with {result.exit_code}"
