"""What all dump engines share: the commands of one dump, and the reading of their answer.

A dump is keyed by (run, attempt) and lives in files beside `DumpTask.file`; scripts/common.sh
states the protocol and its invariants. Commands are values: this module runs nothing. Each command
is safe to repeat. Their outcome is one JSON line on standard output and never an exit status: the
connection may be lost at any moment, and then `Engine.result` answers as well as `start` did.

How to use it:

    engine = ENGINES[dump.engine]                       # dump: api.dumps.Dump, or a planned one
    engine.start(task, dump.engine_spec, password)      # runs until the dump has ended
    engine.result(task)                                 # short; while it runs: the bytes so far
    engine.cancel(task)
    parse_result(stdout)                                # of any of the three

`password` is the value of `dump.secret_ref()`'s key, which the caller reads just before, and None
where that is None. It travels on standard input only; this module never shows it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Annotated, Final, Generic, TypeVar

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from backstay.api.common import Model
from backstay.api.server import PasswordSource, Server
from backstay.domain.errors import DataError, UserError
from backstay.domain.sources.mounts import Lies
from backstay.domain.sources.server_data import DataDirectory

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
    min_free: int = 0
    """Bytes that stay free beside the dump; 0: the space is not looked at."""
    mounts: tuple[str, ...] = ()
    """Absolute paths in the container: `result` of a dump says what they really are."""
    compress: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """A process to run in the database's container, with everything it reads from stdin."""

    argv: tuple[str, ...]
    stdin: bytes = field(repr=False)


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
    format: str | None = None
    """Done: what the file is once it is decompressed, such as custom, sql or rdb."""
    compression: str | None = None
    """Done: what the file as a whole is compressed by: zstd, gzip or none."""
    compressed: bool | None = None
    """Done: whether the dump is compressed, inside the file or as a whole."""
    position: str | None = None
    """Done: where in the server's log of changes the dump stands, if that is known."""
    at: Lies | None = None
    """Done: where FILE's directory lies now."""
    mounts: tuple[str, ...] = ()
    """Done: the real paths of the task's mounts, "" for what could not be entered."""
    data: tuple[DataDirectory, ...] | None = None
    """Done: where the server keeps its data, as it said; None if it did not say."""
    server: str | None = None
    """Done: what the server says that it is, if it says anything that stays."""
    notes: tuple[str, ...] = ()
    """Done: what the server has and the dump has not, in words."""
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
        *("format", "compression", "at"),
    ),
    State.RUNNING: ("bytes",),
    State.FAILED: ("exit", "message"),
    State.BUSY: ("run",),
    State.SUPERSEDED: ("run",),
}


Words = Sequence[str]
Spec = TypeVar("Spec", bound=Model)


@dataclass(frozen=True, slots=True)
class Engine(Generic[Spec]):
    """A kind of database that can be dumped: scripts/NAME.sh, and its arguments from a spec."""

    name: str
    words: Callable[[Spec], Words]
    """Given a spec, return the script's words: `name=value`, and after `--` any others."""

    def start(self, task: DumpTask, spec: Spec, password: str | None = None) -> Command:
        """Given a task, what to dump, and the password that the spec's Secret holds if it names
        one, return the command that dumps. It runs until the dump has ended, listened to or not,
        and prints what `result` prints. Raise UserError for a password that cannot be handed over.
        """
        # Up to whole seconds: a positive duration is never zero.
        seconds = -(-task.max_duration // timedelta(seconds=1))
        limits = (f"seconds={seconds}", f"minfree={task.min_free}")
        form = f"compress={'yes' if task.compress else 'no'}"
        login = _login(spec) if isinstance(spec, Server) else ()
        words = (*limits, form, *login, *self.words(spec))
        return _command(self.name, "start", task, words, password)

    def result(self, task: DumpTask) -> Command:
        """Given a task, return the command that prints its state, and of a dump that is done
        where it really lies now; it writes nothing.
        """
        return _command(self.name, "result", task, task.mounts)

    def cancel(self, task: DumpTask) -> Command:
        """Given a task, return the command that ends this attempt if it runs, else does nothing.
        It prints how the attempt stood; the end shows in `result`.
        """
        return _command(self.name, "cancel", task)

    def probe(self) -> Command:
        """Return the command that prints the tools' versions and which tools are missing."""
        return _command(self.name, "probe", None)


def option(name: str, value: str | int | None) -> Words:
    """Given a name and a value, return the word that says so; none for None."""
    return () if value is None else (f"{name}={value}",)


def _login(server: Server) -> Words:
    """Where the server is, who we are there, and where in the container the password is."""
    source = server.password or PasswordSource()
    return (
        *option("host", server.host),
        *option("port", server.port),
        *option("user", server.user),
        *option("password_env", source.env),
        *option("password_file", source.file),
        *option("password_stdin", "yes" if source.secret_key_ref else None),
    )


# What an engine asks its server, where that is long.
_ASKED: Final[Mapping[str, tuple[str, ...]]] = {
    "mysql": ("mysql_server", "mysql_rights"),
    "postgres": ("postgres_server",),
}


@cache
def script(engine: str) -> bytes:
    """Given the name of an engine's script (without `.sh`), return the whole program for a POSIX
    shell's standard input but its last line, `LAST_LINE`. Nothing runs before that has arrived.
    """
    folder = resources.files(__package__) / "scripts"
    parts = (
        "common",
        "process",
        "record",
        "supply",
        "where",
        "contents",
        *_ASKED.get(engine, ()),
        engine,
    )
    return b"".join((folder / f"{name}.sh").read_bytes() for name in parts)


LAST_LINE = b'main "$@"; exit\n'


def _command(
    engine: str,
    verb: str,
    task: DumpTask | None,
    words: Words = (),
    password: str | None = None,
) -> Command:
    """Words are positional parameters and the password is octal: data to the shell, never code."""
    of_task = () if task is None else (task.run, str(task.attempt), task.file)
    argv = ("/bin/sh", "-s", "--", verb, *of_task, *words)
    return Command(argv=argv, stdin=script(engine) + _octal(password) + LAST_LINE)


def _octal(password: str | None) -> bytes:
    """Return the assignment of the password in the form that printf's %b reads."""
    if password is None:
        return b""
    if "\0" in password:
        raise UserError("PasswordUnusable", "the Secret's value holds a NUL byte")
    octal = "".join(f"\\0{byte:03o}" for byte in password.encode("utf-8", "surrogateescape"))
    return f"octal='{octal}'\n".encode()


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
