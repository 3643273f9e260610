"""The commands of one hook, and the reading of their answer; scripts/hooks.sh does the work.

A hook is keyed by (run, attempt, name) and lives in a folder in the memory of its container. As
with dumps, commands are values, each is safe to repeat, and their outcome is one JSON line: the
connection may be lost at any moment, and then `result` answers as well as the start did.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from backstay.api.hooks import PlannedHook, Stage
from backstay.domain.errors import DataError
from backstay.dumps.base import Command


@dataclass(frozen=True, slots=True)
class HookTask:
    """One attempt of one run at one hook."""

    run: str
    """The run's uid."""
    attempt: int
    stage: Stage
    hook: PlannedHook

    @property
    def key(self) -> tuple[str, str, str]:
        """What the script knows it by."""
        return self.run, str(self.attempt), f"{self.stage.value.lower()}-{self.hook.name}"


class State(StrEnum):
    """How a hook stands in its container."""

    NONE = "none"
    RUNNING = "running"
    HELD = "held"
    DONE = "done"
    FAILED = "failed"
    BROKEN = "broken"  # it held, but ended before its release
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class HookAnswer:
    """What the script says of a hook."""

    state: State
    exit: int | None = None
    seconds: Annotated[int, Field(ge=0)] | None = None
    message: str = ""


_ANSWER = TypeAdapter(HookAnswer)


def start(task: HookTask, max_freeze: timedelta) -> Command:
    """Given a task and how long it may hold, return the command that starts it. It runs until the
    hook is over, listened to or not; a hook that was started already is left alone.
    """
    hook = task.hook
    limits = (_seconds(hook.timeout), _seconds(max_freeze), _seconds(hook.undo_timeout))
    if hook.session is not None:
        texts = (hook.session.ready, hook.session.begin, hook.session.end)
        return _command("session", task, *limits, *texts, *hook.command)
    if hook.undo is not None:
        return _command("hold", task, *limits, str(len(hook.command)), *hook.command, *hook.undo)
    return _command("run", task, limits[0], *hook.command)


def release(task: HookTask) -> Command:
    """Given a task, return the command that releases what it holds. Where nobody is left
    to do so, such as in a new container, the command undoes it itself.
    """
    undo = task.hook.undo or ()
    return _command("release", task, _seconds(task.hook.undo_timeout), *undo)


def result(task: HookTask) -> Command:
    """Given a task, return the command that prints its state; it writes nothing."""
    return _command("result", task)


def parse_answer(stdout: bytes) -> HookAnswer:
    """Given what a command wrote to standard output, return it read. Raise DataError if it is not
    one of our answers.
    """
    try:
        return _ANSWER.validate_json(stdout.strip(), strict=True)
    except ValidationError as error:
        shown = stdout.decode(errors="replace").strip()[:300]
        raise DataError(f"the hook script's answer cannot be understood: {shown!r}") from error


def _command(verb: str, task: HookTask, *arguments: str) -> Command:
    return Command(argv=("/bin/sh", "-s", "--", verb, *task.key, *arguments), stdin=_script())


@cache
def _script() -> bytes:
    folder = resources.files(__package__) / "scripts"
    parts = [(folder / f"{name}.sh").read_bytes() for name in ("process", "record", "hooks")]
    return b"".join([*parts, b'main "$@"; exit\n'])


def _seconds(limit: timedelta) -> str:
    """Up to whole seconds: a positive limit is never zero."""
    return str(-(-limit // timedelta(seconds=1)))
