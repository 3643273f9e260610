"""Start dumps in their containers, and read what became of them.

Invariants: the exec stream of a running dump belongs to a task of this object and is only a
wake-up; what happened is always read by a second, short exec, so the normal path and the one
after a restart of the operator are the same. At most one stream per (run, dump, attempt).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Final, NamedTuple

from backstay.api.backup import PlannedDump
from backstay.domain.errors import (
    BackstayError,
    Conflict,
    DataError,
    NotFound,
    Transient,
    UserError,
)
from backstay.domain.sights import DumpPlace, DumpSeen, DumpSight
from backstay.dumps import ENGINES
from backstay.dumps.base import Command, DumpState, DumpTask, State, parse_result
from backstay.kube.exec import Exec, ExecResult

log = logging.getLogger(__name__)

SHORT: Final = timedelta(seconds=30)
"""Deadline of the execs that only read."""
STREAM_SLACK: Final = timedelta(minutes=2)


class StreamKey(NamedTuple):
    """One dump of one attempt of one run."""

    run: str
    dump: str
    attempt: int


class Dumping:
    """Runs the dump protocol over exec. To be closed."""

    def __init__(self, executor: Exec) -> None:
        self._executor = executor
        self._streams: dict[StreamKey, asyncio.Task[None]] = {}
        self._errors: dict[StreamKey, str] = {}
        """What was wrong with a stream; gone with the process, as the streams are."""
        self._refusals: dict[StreamKey, DumpState] = {}
        """Failures that the script could only say, not write: its volume is full or read-only."""

    async def close(self) -> None:
        """Drop the open streams; the dumps themselves run on in their containers."""
        streams = list(self._streams.values())
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)

    def start(
        self,
        namespace: str,
        run: str,
        dump: PlannedDump,
        place: DumpPlace,
        *,
        attempt: int,
        wake: Callable[[], None],
    ) -> None:
        """Given a dump and its place, start it unless a stream of it is open; wake at its end."""
        key = StreamKey(run, dump.name, attempt)
        if key in self._streams:
            return
        command = ENGINES[dump.engine].start(_task(run, dump, attempt), dump.engine_spec)
        deadline = dump.max_duration + STREAM_SLACK
        stream = self._stream(key, namespace, place, command, deadline)
        task = asyncio.create_task(stream, name=f"dump {run} {dump.name} {attempt}")
        self._streams[key] = task

        def ended(_: asyncio.Task[None]) -> None:
            self._streams.pop(key, None)
            wake()

        task.add_done_callback(ended)

    async def _stream(
        self,
        key: StreamKey,
        namespace: str,
        place: DumpPlace,
        command: Command,
        deadline: timedelta,
    ) -> None:
        self._errors.pop(key, None)
        self._refusals.pop(key, None)
        try:
            result = await self._run(namespace, place, command, deadline)
        except BackstayError as error:
            self._errors[key] = error.message
            log.info("dump stream ended: %s: %s", key, error.message)
            return
        if result.exit_code != 0:
            self._errors[key] = _last_words(result)
            log.info("dump script exited %d: %s", result.exit_code, key)
            return
        try:
            said = parse_result(result.stdout)
        except DataError as error:
            self._errors[key] = error.message
            return
        if said.state is State.FAILED:
            self._refusals[key] = said

    async def look(
        self, namespace: str, run: str, dump: PlannedDump, place: DumpPlace, attempt: int
    ) -> DumpSeen:
        """Given a dump and where it runs, return what its files say. Never raises for the dump."""
        key = StreamKey(run, dump.name, attempt)
        engine = ENGINES[dump.engine]
        try:
            result = await self._run(
                namespace, place, engine.result(_task(run, dump, attempt)), SHORT
            )
            if result.exit_code != 0:
                raise Transient(_last_words(result))
            found = parse_result(result.stdout)
            if found.state in (State.NONE, State.INTERRUPTED):
                found = self._refusals.get(key, found)
        except UserError as error:
            return DumpSeen(DumpSight.FAILED, place, message=error.message)
        except (Transient, NotFound, Conflict, DataError) as error:
            lives = key in self._streams
            return DumpSeen(DumpSight.UNREACHABLE, place, lives, message=error.message)
        return DumpSeen(
            sight=DumpSight(found.state),
            place=place,
            task_lives=key in self._streams,
            bytes=found.bytes,
            sha256=found.sha256,
            seconds=found.seconds,
            versions=found.versions or {},
            uid=found.uid,
            gid=found.gid,
            message=_said(found) or self._errors.get(key, ""),
        )

    async def cancel(
        self, namespace: str, run: str, dump: PlannedDump, place: DumpPlace, attempt: int
    ) -> None:
        """Given a dump, end it if it still runs; a pod that is gone has ended it already."""
        command = ENGINES[dump.engine].cancel(_task(run, dump, attempt))
        try:
            await self._run(namespace, place, command, SHORT)
        except (Transient, NotFound, Conflict, UserError) as error:
            log.info("dump %s of run %s could not be cancelled: %s", dump.name, run, error.message)

    async def _run(
        self, namespace: str, place: DumpPlace, command: Command, deadline: timedelta
    ) -> ExecResult:
        return await self._executor.run(
            namespace,
            place.pod,
            place.container,
            command.argv,
            stdin=command.stdin,
            timeout=deadline,
        )


def _task(run: str, dump: PlannedDump, attempt: int) -> DumpTask:
    return DumpTask(
        run=run,
        attempt=attempt,
        file=dump.file,
        max_duration=dump.max_duration,
        min_free=dump.min_free,
    )


def _said(found: DumpState) -> str:
    """The tool's last words, or what a state without any means to a person."""
    match found.state:
        case State.INTERRUPTED:
            return "it was killed before it could report a result"
        case State.BUSY:
            return f"the file is locked by run {found.run}"
        case State.SUPERSEDED:
            return f"run {found.run} has written the file since"
    return found.message or ""


def _last_words(result: ExecResult) -> str:
    words = " ".join((result.stderr or result.stdout).decode("utf-8", "replace").split())
    return words[-500:] or f"the script exited with {result.exit_code}"
