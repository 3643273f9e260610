"""Hooks in their container, under every shell: what a hook holds is undone whatever is killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.faults.dumps.harness import Container, leftovers
from tests.support.builders import planned_hook
from tests.support.waiting import eventually

from backstay.api.hooks import PlannedHook, Session, Stage
from backstay.dumps import hooks
from backstay.dumps.base import Command
from backstay.dumps.hooks import HookAnswer, HookTask, State

LONG = timedelta(minutes=5)


class Hook:
    """One hook of a run of its own, which leaves notes."""

    def __init__(self, container: Container, planned: PlannedHook) -> None:
        self.container = container
        self.log = container.folder / "log"
        # Hooks of one name are swept by the next: those of other tests may run now.
        name = container.folder.name.lower().replace("_", "-").rstrip("-")
        mine = planned.model_copy(update={"name": name})
        self.task = HookTask(container.folder.name, 1, Stage.BEFORE, mine)

    @property
    def notes(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []

    def popen(self, max_freeze: timedelta = LONG) -> subprocess.Popen[bytes]:
        return self.container.popen(hooks.start(self.task, max_freeze))

    def start(self, max_freeze: timedelta = LONG) -> HookAnswer:
        return self._run(hooks.start(self.task, max_freeze))

    def release(self) -> HookAnswer:
        return self._run(hooks.release(self.task))

    def look(self) -> HookAnswer:
        return self._run(hooks.result(self.task))

    def state(self) -> State:
        return self.look().state

    def _run(self, command: Command) -> HookAnswer:
        process = self.container.popen(command)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, b""), (out, err)
        return hooks.parse_answer(out)

    @contextmanager
    def held(self, max_freeze: timedelta = LONG) -> Iterator[subprocess.Popen[bytes]]:
        """The hook while it holds; nothing of it is left at the end."""
        process = self.popen(max_freeze)
        try:
            eventually(lambda: self.state() is State.HELD, "the hook to hold")
            yield process
        finally:
            self.release()
            process.communicate(timeout=120)
        eventually(lambda: not leftovers(process.pid), "the end of every process")


def note(container: Container, word: str, then: str = "") -> tuple[str, ...]:
    """A command that leaves a note, and does something after that."""
    return ("sh", "-c", f'echo "$1" >>"$2"; {then}', "hook", word, str(container.folder / "log"))


def freezing(container: Container, then: str = "", undo: str = "", **values: Any) -> Hook:
    command, undoing = note(container, "freeze", then), note(container, "thaw", undo)
    return Hook(container, planned_hook(command=command, undo=undoing, **values))


def in_session(container: Container, code: str, end: str = "bye", **values: Any) -> Hook:
    session = Session(command=("sh", "-c", code), begin="hello", end=end)
    planned = planned_hook(holds=False, command=session.command, session=session, **values)
    return Hook(container, planned)


@pytest.fixture(autouse=True)
def memory(folder: Path) -> Iterator[None]:
    """Take away what the script keeps in memory of this test's hooks."""
    yield
    for left in memory_of(folder):
        shutil.rmtree(left)


def memory_of(folder: Path) -> list[Path]:
    return list(Path(f"/dev/shm/backstay-hooks-{os.getuid()}").glob(f"*@{folder.name}.1"))


def test_a_command_is_run_once(container: Container) -> None:
    hook = Hook(container, planned_hook(holds=False, command=note(container, "once")))

    assert hook.state() is State.NONE
    assert hook.start().state is State.DONE
    assert hook.start().state is State.DONE
    assert hook.state() is State.DONE
    assert hook.notes == ["once"]


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        (("sh", "-c", "echo out; echo why >&2; exit 3"), 3, "out why"),
        (("sh", "-c", "exit 5"), 5, "it ended with exit status 5 and no word"),
        (("no-such-program",), 127, "not found"),
        (("sh", "-c", "kill -9 $$"), 137, ""),
        (("sh", "-c", "printf '\"\\n\\t\\\\ü'; exit 1"), 1, '" \\ü'),
    ],
)
def test_a_command_that_fails_does_so_with_its_last_words(
    container: Container, command: tuple[str, ...], status: int, words: str
) -> None:
    answer = Hook(container, planned_hook(holds=False, command=command)).start()

    assert (answer.state, answer.exit) == (State.FAILED, status)
    assert words in answer.message


def test_a_command_that_takes_too_long_is_ended(container: Container) -> None:
    slow = planned_hook(holds=False, command=("sleep", "60"), timeout=timedelta(seconds=1))

    answer = Hook(container, slow).start()

    assert answer.state is State.FAILED
    assert "ended after 1 s" in answer.message


def test_a_command_that_leaves_something_running_is_not_waited_for(dash: Container) -> None:
    leaving = planned_hook(holds=False, command=("sh", "-c", "sleep 3 & echo off"))

    assert Hook(dash, leaving).start().state is State.DONE


def test_what_is_held_is_released_on_request(container: Container) -> None:
    hook = freezing(container)
    with hook.held():
        assert hook.notes == ["freeze"]
        assert hook.release().state in (State.HELD, State.DONE)
        eventually(lambda: hook.state() is State.DONE, "its release")
    assert hook.notes == ["freeze", "thaw"]
    assert hook.release().state is State.DONE
    assert hook.notes == ["freeze", "thaw"], "undone once"


def test_what_is_held_is_undone_from_inside_when_max_freeze_is_over(container: Container) -> None:
    hook = freezing(container)

    answer = hook.start(max_freeze=timedelta(seconds=2))

    assert answer.state is State.BROKEN
    assert "maxFreeze (2 s) was over" in answer.message
    assert hook.notes == ["freeze", "thaw"]
    assert hook.release() == answer, "a release that comes late changes nothing"


def test_what_is_held_is_undone_also_where_its_memory_was_swept_away(container: Container) -> None:
    hook = freezing(container)
    with hook.held(max_freeze=timedelta(seconds=3)) as process:
        [memory] = memory_of(container.folder)
        shutil.rmtree(memory)
        eventually(lambda: "thaw" in hook.notes, "its release")
        out, _ = process.communicate(timeout=120)
    assert hooks.parse_answer(out).state is State.BROKEN
    assert hook.notes == ["freeze", "thaw"]


@pytest.mark.parametrize("then", ["exit 4", "sleep 60"], ids=["it fails", "it hangs"])
def test_a_command_that_fails_is_undone_as_well(container: Container, then: str) -> None:
    hook = freezing(container, then, timeout=timedelta(seconds=1))

    assert hook.start().state is State.FAILED
    assert hook.notes == ["freeze", "thaw"]


def test_what_cannot_be_undone_is_reported(container: Container) -> None:
    hook = freezing(container, undo="echo stuck; exit 6")
    with hook.held():
        hook.release()
        eventually(lambda: hook.state() is State.FAILED, "the failure")
    assert hook.look().message == "what undoes it failed: stuck"


def test_a_release_that_comes_before_the_command_has_ended_is_kept(dash: Container) -> None:
    hook = freezing(dash, "sleep 2")
    process = hook.popen()
    eventually(lambda: hook.state() is State.RUNNING, "the start")

    assert hook.release().state is State.RUNNING

    process.communicate(timeout=120)
    assert hook.state() is State.DONE
    assert hook.notes == ["freeze", "thaw"]


def family(process: subprocess.Popen[bytes], container: Container) -> tuple[int, int]:
    """The main shell and the keeper."""
    [folder] = memory_of(container.folder)
    main, keeper = (int((folder / who).read_text().split()[0]) for who in ("owner", "keeper"))
    assert main == process.pid
    return main, keeper


@pytest.mark.parametrize("victim", [0, 1], ids=["the main shell", "the keeper"])
def test_one_killed_shell_leaves_another_that_undoes(container: Container, victim: int) -> None:
    hook = freezing(container)
    with hook.held(max_freeze=timedelta(seconds=4)) as process:
        os.kill(family(process, container)[victim], signal.SIGKILL)
        eventually(lambda: hook.state() not in (State.HELD, State.RUNNING), "its end")
        assert hook.state() is State.BROKEN
    assert hook.notes == ["freeze", "thaw"]


def test_when_every_shell_was_killed_the_release_undoes(container: Container) -> None:
    hook = freezing(container)
    with hook.held() as process:
        for pid in family(process, container):
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: hook.state() is State.INTERRUPTED, "nobody to be left")
        answer = hook.release()
    assert answer.state is State.BROKEN
    assert answer.message == "what held it was killed or restarted"
    assert hook.notes == ["freeze", "thaw"]


def test_in_a_new_container_the_release_undoes_what_another_one_started(dash: Container) -> None:
    hook = freezing(dash)

    assert hook.release().state is State.BROKEN

    assert hook.notes == ["thaw"]
    assert hook.start().state is State.BROKEN, "what was undone is not started any more"
    assert hook.notes == ["thaw"]


SESSION = 'read x; echo "$x" >>LOG; echo READY; read y; echo "$y" >>LOG; exec cat >/dev/null'


def test_a_session_gets_its_start_is_held_and_gets_its_end(container: Container) -> None:
    hook = in_session(container, SESSION.replace("LOG", str(container.folder / "log")))
    with hook.held():
        assert hook.notes == ["hello"]
        hook.release()
        eventually(lambda: hook.state() is State.DONE, "its end")
    assert hook.notes == ["hello", "bye"]


def test_a_session_ends_when_max_freeze_is_over(container: Container) -> None:
    hook = in_session(container, SESSION.replace("LOG", str(container.folder / "log")))

    assert hook.start(max_freeze=timedelta(seconds=2)).state is State.BROKEN
    assert hook.notes == ["hello", "bye"]


@pytest.mark.parametrize(
    ("code", "state", "words"),
    [
        ("echo cannot connect >&2; exit 2", State.FAILED, "cannot connect"),
        ("echo not it; exec cat >/dev/null", State.FAILED, "did not print the line READY within"),
        ("echo READY; sleep 1; echo lost >&2; exit 2", State.BROKEN, "before the snapshot: lost"),
        ("echo READY; read x; read y; echo no; exit 3", State.FAILED, "it did not end well: no"),
    ],
    ids=["cannot begin", "never ready", "ends by itself", "ends badly"],
)
def test_a_session_that_goes_wrong_says_how(
    container: Container, code: str, state: State, words: str
) -> None:
    hook = in_session(container, code, timeout=timedelta(seconds=3))
    process = hook.popen()
    if "read y" in code:
        eventually(lambda: hook.state() is State.HELD, "the session to hold")
        hook.release()
    process.communicate(timeout=60)

    answer = hook.look()

    assert answer.state is state
    assert words in answer.message


def test_a_session_ends_with_its_keeper(container: Container) -> None:
    hook = in_session(container, "echo READY; exec cat >/dev/null")
    with hook.held() as process:
        os.kill(family(process, container)[1], signal.SIGKILL)
        eventually(lambda: hook.state() is State.BROKEN, "the verdict")


def test_words_are_data(container: Container) -> None:
    nasty = ("", "-n", "a b", "$(touch owned)", "'\"`;\n*", "ü€😀", "\\", "${x}")
    write = 'out=$1; shift; for w in "$@"; do printf "%s\\0" "$w"; done >"$out"'
    files = [str(container.folder / name) for name in ("in", "out")]
    before, after = (("sh", "-c", write, "hook", file, *nasty) for file in files)
    hook = Hook(container, planned_hook(command=before, undo=after))

    with hook.held():
        pass

    for file in files:
        assert tuple(Path(file).read_text().split("\0")[:-1]) == nasty
