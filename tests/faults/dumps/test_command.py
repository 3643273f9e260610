"""Dumps by any command, and what all dumps are supplied with: passwords, space, compression."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from tests.faults.dumps.harness import Container, child_running, leftovers
from tests.support.waiting import eventually

from backstay.api.dumps import AnyCommand, Output
from backstay.dumps import ENGINES
from backstay.dumps.base import Command, DumpState, DumpTask, State, parse_result

COMMAND = ENGINES["command"]
MEBI = 1024 * 1024


@pytest.fixture
def container(container: Container) -> Container:
    """As a policy has it that says nothing of compression."""
    return replace(container, compress=False)


@pytest.fixture
def dash(dash: Container) -> Container:
    return replace(dash, compress=False)


def sh(text: str, *arguments: str, **values: object) -> AnyCommand:
    return AnyCommand.model_validate({"argv": ("sh", "-c", text, "sh", *arguments), **values})


def dump(container: Container, spec: AnyCommand, task: DumpTask | None = None) -> DumpState:
    return container.run(COMMAND.start(task or container.task(), spec))


NASTY = (
    'a\'b "c" \\ $(touch /tmp/backstay-was-here) `id`',
    "--",
    "-n",
    "ünï 🐘",
    "two\nlines\t",
    "",
    "a=b",
)


def test_arguments_are_data(container: Container) -> None:
    state = dump(container, AnyCommand(argv=("printf", "<%s>", *NASTY)))
    assert state.state == State.DONE, state
    assert container.file.read_text() == "".join(f"<{word}>" for word in NASTY)
    assert not Path("/tmp/backstay-was-here").exists()


def test_what_a_command_prints_may_be_compressed(container: Container) -> None:
    packing = replace(container, compress=True)
    state = dump(packing, sh("seq 100000; echo chatter >&2"))
    assert state.state == State.DONE, state
    assert state.compression == ("gzip" if "busybox" in container.shell.argv[0] else "zstd")
    assert container.content(state).count(b"\n") == 100000
    assert container.file.stat().st_size < 300_000


def test_a_command_may_write_the_file_itself(container: Container) -> None:
    state = dump(container, sh('echo mine >"$BACKSTAY_FILE"; echo chatter', output=Output.FILE))
    assert state.state == State.DONE, state
    assert container.file.read_text() == "mine\n"
    silent = dump(container, sh("echo lost", output=Output.FILE), container.task(attempt=2))
    assert silent.message == "command wrote no data"
    container.assert_settled()


@pytest.mark.parametrize(
    ("compress", "output"), [(False, Output.STDOUT), (True, Output.STDOUT), (False, Output.FILE)]
)
def test_a_command_that_fails_leaves_the_last_dump(
    container: Container,
    output: Output,
    *,
    compress: bool,
) -> None:
    good = dump(container, AnyCommand(argv=("echo", "good")), container.task("before"))
    task = replace(container.task(), compress=compress)
    state = dump(container, sh("echo half; echo it broke >&2; exit 3", output=output), task)
    assert (state.state, state.exit, state.message) == (State.FAILED, 3, "it broke")
    container.assert_settled()
    assert container.result(container.task("before")) == good


def test_a_program_that_is_not_there_is_named(container: Container) -> None:
    state = dump(container, AnyCommand(argv=("no-such-program",)))
    assert state.exit == 127
    assert "no-such-program" in (state.message or "")


def test_a_killed_compressor_fails_the_dump_and_ends_the_command(dash: Container) -> None:
    task = replace(dash.task(), compress=True)
    process = dash.popen(COMMAND.start(task, sh("while :; do echo x; done")))
    zstd = eventually(lambda: child_running(dash, "zstd"), "the compressor")
    os.kill(zstd, signal.SIGKILL)
    out, _ = process.communicate(timeout=120)
    message = parse_result(out).message or ""
    assert "zstd ended by signal 9" in message, message
    eventually(lambda: not leftovers(process.pid), "the end of every process")
    assert not dash.beside(".partial").exists()


def test_a_compressor_that_is_killed_before_the_command_begins_ends_it_too(dash: Container) -> None:
    tools, go_on = dash.folder / "bin", dash.folder / "go-on"
    tools.mkdir()
    # What comes before the command, held up.
    (tools / "perl").write_text(f"#!/bin/sh\nuntil [ -e {go_on} ]; do sleep 0.05; done\n")
    (tools / "perl").chmod(0o755)
    pod = replace(dash, programs=str(tools), compress=True)
    process = pod.popen(COMMAND.start(pod.task(), sh("while :; do echo x; done")))
    zstd = eventually(lambda: child_running(pod, "zstd"), "the compressor")
    os.kill(zstd, signal.SIGKILL)
    eventually((pod.beside(".lock") / "stop").exists, "the word that it is dead")
    go_on.touch()
    out, _ = process.communicate(timeout=120)
    message = parse_result(out).message or ""
    assert "zstd ended by signal 9" in message, message
    eventually(lambda: not leftovers(process.pid), "the end of every process")


def test_the_deadline_ends_a_pipe_of_a_shell_with_all_that_is_in_it(container: Container) -> None:
    spec = sh("cat /dev/zero | sleep 100")
    process = container.popen(COMMAND.start(container.task(seconds=1), spec))
    out, _ = process.communicate(timeout=120)
    assert parse_result(out).message == "deadline of 1 s exceeded"
    eventually(lambda: not leftovers(process.pid), "the end of every process")


@pytest.mark.parametrize(
    ("files", "threads"),
    [
        ({"cpu.max": "max 100000"}, "-T4"),
        ({"cpu.max": "100000 100000"}, "--single-thread"),
        ({"cpu.max": "150000 100000"}, "-T2"),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "-T4"),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, "-T3"),
        ({}, "-T4"),
    ],
)
def test_the_compressor_keeps_to_the_cpu_limit_of_the_container(
    container: Container, files: dict[str, str], threads: str
) -> None:
    tools, cgroups = container.folder / "bin", container.folder / "cgroup"
    tools.mkdir()
    (tools / "nproc").write_text("#!/bin/sh\necho 64\n")
    (tools / "zstd").write_text(f'#!/bin/sh\necho "$@" >{container.folder}/reported\ncat\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    for name, text in files.items():
        (cgroups / name).parent.mkdir(parents=True, exist_ok=True)
        (cgroups / name).write_text(f"{text}\n")
    pod = replace(container, programs=str(tools), compress=True)
    start = COMMAND.start(pod.task(), sh("echo x"))
    assert start.stdin.count(b"cgroups=/sys/fs/cgroup\n") == 1
    moved = start.stdin.replace(b"cgroups=/sys/fs/cgroup\n", f"cgroups='{cgroups}'\n".encode())
    assert pod.run(Command(start.argv, moved)).state == State.DONE
    assert threads in (container.folder / "reported").read_text().split()
