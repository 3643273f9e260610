"""Start dumps in their containers, and read their outcome; see steps/exec_streams.py."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from backstay.api.plan import PlannedDump
from backstay.api.target import Preference
from backstay.domain.errors import (
    Conflict,
    DataError,
    NotFound,
    Refused,
    Transient,
    UserError,
)
from backstay.domain.run.sights import DumpSeen, DumpSight
from backstay.domain.sources.mounts import Mount, path_of
from backstay.domain.sources.places import DumpPlace
from backstay.dumps import ENGINES, layout, roles
from backstay.dumps.base import DumpState, DumpTask, State, parse_result
from backstay.dumps.layout import Layout
from backstay.engine.patience import Patience
from backstay.kube.client import Client
from backstay.steps.access import password_of
from backstay.steps.exec_streams import Streams, Where

log = logging.getLogger(__name__)


class DumpKey(NamedTuple):
    """One dump of one attempt of one run."""

    run: str
    dump: str
    attempt: int


class Dumping:
    """Runs the dump protocol over exec."""

    def __init__(self, client: Client, streams: Streams, refusals: Patience) -> None:
        self._client = client
        self._streams = streams
        self._refusals = refusals
        self._refused: dict[DumpKey, str] = {}
        """Why a dump could not be started: what its Secret lacks, or that it may not be read."""

    async def start(
        self,
        namespace: str,
        run: str,
        dump: PlannedDump,
        place: DumpPlace,
        *,
        attempt: int,
        wake: Callable[[], None],
    ) -> None:
        """Given a dump and its place, start it unless a stream of it is open; wake at its end.

        Raise Transient if its Secret cannot be read at the moment.
        """
        key = DumpKey(run, dump.name, attempt)
        if self._streams.lives(key):
            return
        try:
            # Read just before it is used.
            password = await password_of(self._client, namespace, dump)
            task = _task(run, dump, attempt)
            command = ENGINES[dump.engine].start(task, dump.engine_spec, password)
        except UserError as error:
            # No stream will end and wake anybody: who looks next finds why.
            self._refused[key] = error.message
            wake()
            return
        where, limit = _where(namespace, place), dump.max_duration
        self._streams.open(key, where, command, limit=limit, wake=wake)

    def forget(self, run: str) -> None:
        """Given a run that is over, drop what is remembered of it."""
        self._refused = {k: v for k, v in self._refused.items() if k.run != run}
        self._streams.forget(run)

    async def look(
        self, namespace: str, run: str, dump: PlannedDump, place: DumpPlace, attempt: int
    ) -> DumpSeen:
        """Given a dump and where it runs, return what its files say. Never raises for the dump."""
        key = DumpKey(run, dump.name, attempt)
        # It was never started, so no file in the container says anything of this attempt.
        if key in self._refused:
            return DumpSeen(DumpSight.FAILED, place, message=self._refused[key])
        task = replace(_task(run, dump, attempt), mounts=tuple(m.path for m in place.mounts))
        command = ENGINES[dump.engine].result(task)
        try:
            found = parse_result(await self._streams.ask(_where(namespace, place), command))
        except UserError as error:
            return DumpSeen(DumpSight.FAILED, place, message=error.message)
        # Before Transient, of which it is a kind.
        except Refused as error:
            return self._while_refused(key, place, error)
        except (Transient, NotFound, Conflict, DataError) as error:
            lives = self._streams.lives(key)
            return DumpSeen(DumpSight.UNREACHABLE, place, lives, message=error.message)
        self._refusals.forget(key)
        trouble = self._streams.trouble(key)
        # What is written down counts before what was printed: it says the same after a restart.
        if found.state in (State.NONE, State.INTERRUPTED):
            try:
                found = self._refusal(key) or found
            except DataError as error:
                trouble = error.message
        # With each look, the one after the snapshot included: a directory may have become a link.
        try:
            path = _real_path(dump, place, found)
        except UserError as error:
            return DumpSeen(DumpSight.FAILED, place, message=error.message)
        return _seen(found, place, path, lives=self._streams.lives(key), trouble=trouble)

    def _while_refused(self, key: DumpKey, place: DumpPlace, error: Refused) -> DumpSeen:
        # Nobody can ask for its result: it is not waited for until maxDuration.
        sight = DumpSight.UNREACHABLE
        if self._refusals.is_over(key):
            self._refusals.forget(key)
            sight = DumpSight.FAILED
        return DumpSeen(sight, place, self._streams.lives(key), message=error.message)

    def _refusal(self, key: DumpKey) -> DumpState | None:
        """A failure that the script could only say, not write: its volume is full or read-only."""
        printed = self._streams.printed(key)
        said = parse_result(printed) if printed is not None else None
        return said if said is not None and said.state is State.FAILED else None

    async def cancel(
        self, namespace: str, run: str, dump: PlannedDump, place: DumpPlace, attempt: int
    ) -> None:
        """Given a dump, end it if it still runs; a pod that is gone has ended it already."""
        command = ENGINES[dump.engine].cancel(_task(run, dump, attempt))
        try:
            await self._streams.ask(_where(namespace, place), command)
        except (Transient, NotFound, Conflict, UserError) as error:
            # The script ends by itself after maxDuration.
            log.info("dump %s of run %s could not be cancelled: %s", dump.name, run, error.message)

    async def role(self, namespace: str, dump: PlannedDump, place: DumpPlace) -> Preference | None:
        """Given a dump and a place that it could run in, return what role the database there says
        that it has; None if it does not say, or does not answer.
        """
        command = roles.probe(dump.engine)
        if command is None or not place.container_id:
            return None
        try:
            return roles.parse_role(await self._streams.ask(_where(namespace, place), command))
        except (Transient, NotFound, Conflict, UserError) as error:
            # A role is preferred, not demanded: the dump runs in any pod rather than in none.
            log.info("role of the database in pod %s: %s", place.pod, error.message)
            return None

    async def layout(
        self, namespace: str, pod: str, container: str, mounts: Sequence[Mount]
    ) -> Layout | None:
        """Given a container and its mounts, return what databases keep there; None if it does not
        say, such as one without a shell.
        """
        try:
            printed = await self._streams.ask(Where(namespace, pod, container), layout.ask(mounts))
            return layout.parse_layout(printed)
        except (Transient, NotFound, Conflict, UserError, DataError) as error:
            log.info("layout of container %s of pod %s: %s", container, pod, error.message)
            return None


def _where(namespace: str, place: DumpPlace) -> Where:
    return Where(namespace, place.pod, place.container)


def _task(run: str, dump: PlannedDump, attempt: int) -> DumpTask:
    return DumpTask(
        run=run,
        attempt=attempt,
        file=dump.file,
        max_duration=dump.max_duration,
        min_free=dump.min_free,
        compress=dump.compress,
    )


def _real_path(dump: PlannedDump, place: DumpPlace, found: DumpState) -> str | None:
    """Where a dump that is done lies on its claim. Raise UserError if that is elsewhere."""
    if found.state is not State.DONE or found.at is None:
        return None
    return path_of(dump.file, found.at, place.mounts, found.mounts, place.claim)


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


def _seen(
    found: DumpState, place: DumpPlace, path: str | None, *, lives: bool, trouble: str
) -> DumpSeen:
    return DumpSeen(
        sight=DumpSight(found.state),
        place=place,
        task_lives=lives,
        bytes=found.bytes,
        sha256=found.sha256,
        seconds=found.seconds,
        versions=found.versions or {},
        format=found.format,
        compression=found.compression,
        compressed=found.compressed,
        position=found.position,
        server=found.server,
        notes=found.notes,
        path=path,
        data=found.data,
        points=found.mounts,
        uid=found.uid,
        gid=found.gid,
        message=_said(found) or trouble,
    )
