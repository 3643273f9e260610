"""The rule of PID 1: what a dead dump leaves behind must not make `postgres` restart.

In the official image `postgres` is PID 1, so it adopts every orphan of the container. A child that
it does not know and that ends by a signal, or with a status other than 0 and 1, looks to it like a
crashed backend: it ends all sessions and recovers. The control shows that; the other test kills
the script's main shell and finds the server undisturbed: pg_dump still has a shell of ours for a
parent, the guard asks it to end, and those shells end with 0. (Where the shells below are killed
as well, they are orphans that died by a signal, and nothing can help: the rule is PID 1's.)
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from tests.faults.dumps.harness import Container, Shell, session
from tests.support import postgres
from tests.support.builders import planned_hook
from tests.support.waiting import eventually

from backstay.api.dumps import Postgres, PostgresFormat
from backstay.api.hooks import Stage
from backstay.dumps import ENGINES, hooks
from backstay.dumps.base import State

CRASH = "terminating any other active server processes"
NEW_NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


@pytest.fixture(scope="module")
def first() -> Iterator[postgres.Server]:
    """A server that is PID 1 of a namespace."""
    if os.geteuid() != 0:
        pytest.skip("only root may make a PID namespace")
    with postgres.running(before=NEW_NAMESPACE) as server:
        server.sql("CREATE TABLE busy (n int)")
        yield server


def enter(server: postgres.Server) -> tuple[str, ...]:
    """What goes before a command that is to run in the server's namespace, as exec does it."""
    [child] = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    return ("nsenter", f"--target={child}", "--pid", "--mount", "--")


def of_namespace(server: postgres.Server) -> dict[int, Sequence[str]]:
    """The processes in the server's namespace that are not the server's: argv by outer pid."""
    [child] = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    namespace = Path(f"/proc/{child}/ns/pid").readlink()
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if (entry / "ns/pid").readlink() == namespace:
                    found[int(entry.name)] = (entry / "cmdline").read_text().split("\0")
            except (FileNotFoundError, PermissionError, ProcessLookupError):
                continue
    return {pid: argv for pid, argv in found.items() if argv[0] and "postgres" not in argv[0]}


def stopped(server: postgres.Server) -> int:
    """The number of the one process in the server's namespace, once it has stopped; else 0."""
    found = list(of_namespace(server))
    if len(found) != 1:
        return 0
    state = Path(f"/proc/{found[0]}/stat").read_text().rpartition(") ")[2].split()[0]
    return found[0] if state == "T" else 0


def test_an_orphan_with_a_bad_end_restarts_the_server(first: postgres.Server) -> None:
    before = first.log
    code = "(exec >/dev/null 2>&1; kill -STOP $(sh -c 'echo $PPID'); exit 3) & exit 0"
    subprocess.run([*enter(first), "sh", "-c", code], check=True, timeout=120)
    pid = eventually(lambda: stopped(first), "the orphan")
    os.kill(pid, signal.SIGCONT)
    eventually(lambda: CRASH in first.log[len(before) :], "the crash that the rule avoids")
    ready = "database system is ready to accept connections"
    eventually(lambda: ready in first.log[len(before) :], "the recovery")


@pytest.mark.parametrize("format", list(PostgresFormat))
def test_a_killed_script_does_not_disturb_a_server_that_is_pid_1(
    first: postgres.Server, shells: dict[str, Shell], folder: Path, format: PostgresFormat
) -> None:
    before = first.log
    shell = shells["dash"]
    inside = Shell((*enter(first), *shell.argv), shell.path)
    pod = Container(inside, folder, first.environment, str(first.bin))
    spec = Postgres(databases=("postgres",), format=format)
    with session(first.psql(), "BEGIN; LOCK TABLE busy", first.environment):
        process = pod.popen(ENGINES["postgres"].start(pod.task(), spec))
        waits = "application_name = 'pg_dump' AND wait_event_type = 'Lock'"
        waiting = f"SELECT count(*) FROM pg_stat_activity WHERE {waits}"  # noqa: S608
        eventually(lambda: first.sql(waiting) == "1", "a stuck dump")

        os.kill(min(of_namespace(first)), signal.SIGKILL)  # the main shell: the first to start
        process.communicate(timeout=120)
        assert pod.result().state == State.INTERRUPTED
        eventually(lambda: not of_namespace(first), "the end of every process of the script")
    assert CRASH not in first.log[len(before) :]


@pytest.mark.parametrize("victim", ["owner", "keeper"])
def test_a_killed_hook_does_not_disturb_a_server_that_is_pid_1(
    first: postgres.Server, shells: dict[str, Shell], folder: Path, victim: str
) -> None:
    """One of its shells is killed while its command runs, which then ends with a bad status."""
    before = first.log
    shell = shells["dash"]
    inside = Shell((*enter(first), *shell.argv), shell.path)
    pod = Container(inside, folder, first.environment, str(first.bin))
    name = folder.name.lower().replace("_", "-").rstrip("-")
    gate = folder / "gate"
    code = f"while [ ! -e {gate} ]; do sleep 0.1; done; exit 3"
    hook = planned_hook(name, command=("sh", "-c", code), undo=("true",))
    task = hooks.HookTask(folder.name, 1, Stage.BEFORE, hook)
    process = pod.popen(hooks.start(task, timedelta(minutes=1)))
    memory = Path(f"/dev/shm/backstay-hooks-{os.getuid()}") / f"before-{name}@{folder.name}.1"
    eventually((memory / "child").exists, "the command to run")

    pid = (memory / victim).read_text().split()[0]
    subprocess.run([*enter(first), "kill", "-KILL", pid], check=True, timeout=120)
    gate.touch()
    process.communicate(timeout=120)
    eventually(lambda: not of_namespace(first), "the end of every process of the hook")

    assert first.sql("SELECT 1") == "1"
    assert CRASH not in first.log[len(before) :]
    shutil.rmtree(memory)
