"""A stand-in for a database's container: a folder, a shell with its tools, and an environment.

Commands run as the operator runs them, script on standard input, but in a session of their own, so
that a test sees what they leave behind. The stub engine dumps by a shell command that a test
chooses, so that lock, records and supervision are tested without a database's pace.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import resources
from pathlib import Path

from backstay.dumps.base import (
    LAST_LINE,
    Command,
    DumpState,
    DumpTask,
    State,
    parse_result,
    script,
)

SHELLS = ("dash", "bash", "busybox")

# Writes FILE.partial ($1) by the command that stands where an engine has a database's name.
STUB = b"""
engine=stub engine_tools=cat engine_probe=cat
engine_check() { :; }
engine_dump() { step stub child sh -c "$1" stub "$file.partial"; }
engine_verify() { server_version=1 tool_version=2 format=text compression=none; }
"""


@dataclass(frozen=True, slots=True)
class Shell:
    """A POSIX shell and the tools beside it."""

    argv: tuple[str, ...]
    path: str


@dataclass(frozen=True, slots=True)
class Container:
    """Where commands run."""

    shell: Shell
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    programs: str = ""  # folders that come before the shell's own tools
    patience: float = 60  # seconds
    compress: bool = True  # what tasks here say

    @property
    def file(self) -> Path:
        return self.folder / "shop.dump"

    def beside(self, suffix: str) -> Path:
        return self.file.with_name(self.file.name + suffix)

    def task(self, run: str = "run", attempt: int = 1, seconds: float = 60) -> DumpTask:
        limit = timedelta(seconds=seconds)
        return DumpTask(run, attempt, str(self.file), limit, compress=self.compress)

    def popen(self, command: Command) -> subprocess.Popen[bytes]:
        """Given a command, start it with its script sent and its input still open, as a websocket
        leaves it.
        """
        process = subprocess.Popen(
            [*self.shell.argv, *command.argv[1:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": f"{self.programs}:{self.shell.path}", **self.environment},
            start_new_session=True,
        )
        _started.append(process)
        assert process.stdin is not None
        process.stdin.write(command.stdin)
        process.stdin.flush()
        return process

    def run(self, command: Command) -> DumpState:
        """Given a command, run it, insist on exit status 0 and silence, and return the state."""
        process = self.popen(command)
        out, err = process.communicate(timeout=self.patience)
        assert (process.returncode, err) == (0, b""), (out, err)
        assert out.count(b"\n") == 1
        assert leftovers(process.pid) == []
        return parse_result(out)

    def stub(self, verb: str, task: DumpTask, *arguments: str) -> Command:
        """Given a verb, its task and what else it takes, return the stub engine's command."""
        words = ("/bin/sh", "-s", "--", verb, task.run, str(task.attempt), task.file, *arguments)
        return Command(words, stub_script() + LAST_LINE)

    def stub_start(self, task: DumpTask, code: str) -> Command:
        seconds = int(task.max_duration.total_seconds())
        return self.stub("start", task, f"seconds={seconds}", "--", code)

    def start(self, code: str, task: DumpTask | None = None) -> DumpState:
        return self.run(self.stub_start(task or self.task(), code))

    def result(self, task: DumpTask | None = None) -> DumpState:
        return self.run(self.stub("result", task or self.task()))

    def content(self, state: DumpState) -> bytes:
        """Given how the dump in the file was made, return what its tool wrote."""
        packed = self.file.read_bytes()
        if state.compression == "none":
            return packed
        assert state.compression in {"zstd", "gzip"}
        unpack = [state.compression, "-dc"]
        return subprocess.run(unpack, input=packed, capture_output=True, check=True).stdout

    def assert_consistent(self) -> None:
        """The invariant of common.sh: FILE is whole and is what the record in force says."""
        publishing = self.beside(".json.next").exists() and not self.beside(".partial").exists()
        record = json.loads(self.beside(".json.next" if publishing else ".json").read_text())
        content = self.file.read_bytes()
        assert record["sha256"] == hashlib.sha256(content).hexdigest()
        assert record["bytes"] == len(content)

    def assert_failed(self, good: DumpState, words: str) -> None:
        """Attempt 1 failed with these words; the dump of the run `before` is as it was."""
        state = self.result()
        assert state.state == State.FAILED
        assert words in (state.message or ""), state
        self.assert_settled()
        assert self.result(self.task("before")) == good

    def assert_settled(self) -> None:
        """Nothing half-done lies about."""
        self.assert_consistent()
        assert not self.beside(".partial").exists()
        assert not self.beside(".json.next").exists()


@contextmanager
def session(argv: Sequence[str], begin: str, environment: Mapping[str, str]) -> Iterator[None]:
    """Given a database's client and SQL, hold what the SQL takes as long as the block lasts; the
    session must survive what happens there.
    """
    holder = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **environment},
        text=True,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    holder.stdin.write(f"{begin};\nSELECT 'held';\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "held\n"
    try:
        yield
    finally:
        holder.communicate("SELECT 1;\n", timeout=120)
    assert holder.returncode == 0, "the server dropped an innocent session"


_started: list[subprocess.Popen[bytes]] = []


def end_started() -> None:
    """End what a test has started and, as it failed, not seen the end of."""
    for process in _started:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    _started.clear()


def stub_script() -> bytes:
    """Return the shared script with the stub engine in place of a real one."""
    whole = script("postgres")
    engine = (resources.files("backstay.dumps") / "scripts" / "postgres.sh").read_bytes()
    assert engine in whole
    return whole.replace(engine, STUB)


def leftovers(session: int) -> list[str]:
    """Given a session id, return the command lines of its living processes."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            fields = (entry / "stat").read_text(errors="replace").rpartition(") ")[2].split()
            if int(fields[3]) == session and fields[0] not in "ZX":
                found.append((entry / "cmdline").read_text(errors="replace").replace("\0", " "))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
    return found


def child_running(container: Container, program: str) -> int:
    """Given a program's name, return the number of the script's child that runs it, or 0."""
    try:
        lines = (container.beside(".lock") / "children").read_text().splitlines()
        for line in lines:
            pid = int(line.split()[0])
            if Path(f"/proc/{pid}/exe").readlink().name == program:
                return pid
    except (FileNotFoundError, ProcessLookupError, IndexError, ValueError):
        pass  # not there yet, half written, or gone
    return 0
