"""What all dump engines share: the commands of one dump, and the reading of their answer.

A dump is keyed by (run, attempt) and lives in files beside `DumpTask.file`; scripts/common.sh
states the protocol and its invariants. Commands are values: this module runs nothing. Each command
is safe to repeat. Their outcome is one JSON line on standard output and never an exit status: the
connection may be lost at any moment, and then `Engine.result` answers as well as `start` did.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Annotated, Protocol

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from backstay.domain.errors import DataError

_SHOWN = 300  # characters of a foreign answer that are worth showing


@dataclass(frozen=True, slots=True)
class DumpTask:
    """One attempt of one run at one dump file in the database's container."""

    run: str
    """The run's uid, or another name of letters, digits, dots, underscores and hyphens."""
    attempt: int
    """From 1; a lower one than was seen for the run is never executed."""
    file: str
    """Absolute path in the container."""
    max_duration: timedelta
    """After this the dump is ended from inside the container."""


@dataclass(frozen=True, slots=True)
class Command:
    """A process to run in the database's container, with everything it reads from stdin."""

    argv: tuple[str, ...]
    stdin: bytes


class State(StrEnum):
    """How one attempt stands."""

    DONE = "done"  # the file is this attempt's dump and has the recorded size
    RUNNING = "running"
    FAILED = "failed"
    INTERRUPTED = "interrupted"  # its process died without a result: a new attempt heals
    NONE = "none"  # nothing is known of it here: start it
    BUSY = "busy"  # another run (`run`), or a lower attempt of this one, holds the file
    SUPERSEDED = "superseded"  # `run` (maybe this one, with a higher attempt) has taken its place


@dataclass(frozen=True, slots=True)
class DumpState:
    """How one attempt stands, and the facts that belong to that state; others are None."""

    state: State
    run: str | None = None
    attempt: int | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    bytes: Annotated[int, Field(ge=0)] | None = None
    """Done: the size of the file. Running: what is written so far."""
    seconds: Annotated[int, Field(ge=0)] | None = None
    engine: str | None = None
    versions: Mapping[str, str] | None = None
    """Of `server` and `tool`."""
    uid: int | None = None
    gid: int | None = None
    finished_at: Annotated[AwareDatetime | None, Field(alias="finishedAt")] = None
    exit: int | None = None
    """Failed: the tool's exit status; 2 where the task itself is not acceptable."""
    message: str | None = None
    """Failed: the tool's last words, one line."""


_ANSWER = TypeAdapter(DumpState)

_FACTS: Mapping[State, tuple[str, ...]] = {
    State.DONE: (
        *("run", "attempt", "sha256", "bytes", "seconds"),
        *("engine", "versions", "uid", "gid", "finished_at"),
    ),
    State.RUNNING: ("bytes",),
    State.FAILED: ("exit", "message"),
    State.BUSY: ("run",),
    State.SUPERSEDED: ("run",),
}


class Engine(Protocol):
    """A kind of database that can be dumped."""

    def start(self, task: DumpTask, database: str) -> Command:
        """Given a task and a database's name (any text but the empty one), return the command
        that dumps it. It runs until the dump has ended, listened to or not, and prints what
        `result` prints.
        """

    def result(self, task: DumpTask) -> Command:
        """Given a task, return the command that tells how it stands; it writes nothing."""

    def cancel(self, task: DumpTask) -> Command:
        """Given a task, return the command that ends this attempt if it runs, else does nothing.
        It prints how the attempt stood; the end shows in `result`.
        """

    def probe(self) -> Command:
        """Return the command that prints the tools' versions and which tools are missing."""


@cache
def script(engine: str) -> bytes:
    """Given the name of an engine's script (without `.sh`), return the whole program for a POSIX
    shell's standard input. Nothing in it runs before its last line has arrived.
    """
    folder = resources.files(__package__) / "scripts"
    parts = [(folder / f"{name}.sh").read_bytes() for name in ("common", "process", "record")]
    return b"".join([*parts, (folder / f"{engine}.sh").read_bytes(), b'main "$@"; exit\n'])


def command(engine: str, verb: str, task: DumpTask | None, *arguments: str) -> Command:
    """Given an engine's script, a verb, its task and what else the verb takes, return the
    command. Arguments are positional parameters: data to the shell, never code.
    """
    of_task = () if task is None else (task.run, str(task.attempt), task.file)
    argv = ("/bin/sh", "-s", "--", verb, *of_task, *arguments)
    return Command(argv=argv, stdin=script(engine))


def parse_result(stdout: bytes) -> DumpState:
    """Given what start, result or cancel wrote to standard output, return the attempt's state.
    Raise DataError with the text when it is not one of our answers, whole and alone.
    """
    try:
        found = _ANSWER.validate_json(stdout.strip(), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "answer"
        raise DataError(_not_ours(stdout, f"{where}: {first['msg']}")) from error
    missing = [name for name in _FACTS.get(found.state, ()) if getattr(found, name) is None]
    if missing:
        raise DataError(_not_ours(stdout, f"{found.state} without {', '.join(missing)}"))
    return found


def _not_ours(stdout: bytes, why: str) -> str:
    text = re.sub(r"\s+", " ", stdout.decode(errors="replace")).strip()
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
    return f"the dump script's answer cannot be understood ({why}): {shown!r}"
