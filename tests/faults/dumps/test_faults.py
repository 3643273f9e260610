"""The fault table: what goes wrong in the middle of a dump, for each engine with a server.

Each ends Failed with a message that says why, without a partial file, with the last dump whole. A
dump is caught in the middle because a session holds the lock of a table that it needs; the servers
stay up, which the sessions of the next test show.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.faults.dumps.harness import Container, Shell, child_running, leftovers, session
from tests.support import mariadb, postgres
from tests.support.waiting import eventually

from backstay.api.dumps import AnyCommand, Mysql, Postgres, PostgresFormat
from backstay.api.server import PasswordSource, SecretKeyRef
from backstay.dumps import ENGINES
from backstay.dumps.base import Command, DumpState, DumpTask, State

NO_ROOM = "No space left on device"


@dataclass(frozen=True, slots=True)
class Subject:
    """An engine with something to dump."""

    name: str
    spec: Postgres | Mysql
    tool: str
    """Program that reads the database."""
    environment: dict[str, str]
    programs: str
    busy: Callable[[], AbstractContextManager[None]]
    compress: bool = True

    def start(self, task: DumpTask) -> Command:
        return ENGINES[self.name].start(task, self.spec)

    def inside(self, container: Container) -> Container:
        return replace(
            container,
            environment=self.environment,
            programs=self.programs,
            compress=self.compress,
        )


@pytest.fixture(scope="module")
def postgres_subject(server: postgres.Server) -> Callable[[PostgresFormat], Subject]:
    server.sql("CREATE DATABASE faulty")
    server.sql(
        "CREATE TABLE rows AS SELECT md5(g::text) FROM generate_series(1, 100000) g", "faulty"
    )
    server.sql("CREATE TABLE zz_busy (n int)", "faulty")

    def busy() -> AbstractContextManager[None]:
        return session(server.psql("faulty"), "BEGIN; LOCK TABLE zz_busy", server.environment)

    def subject(format: PostgresFormat) -> Subject:
        spec = Postgres(databases=("faulty",), format=format)
        environment = dict(server.environment)
        programs = f"{server.bin}:/usr/bin"
        return Subject("postgres", spec, "pg_dump", environment, programs, busy)

    return subject


@pytest.fixture(scope="module")
def mysql_subject(maria: mariadb.Server) -> Subject:
    maria.sql(
        "CREATE DATABASE faulty; USE faulty; CREATE TABLE many AS SELECT md5(seq) AS m "
        "FROM seq_1_to_100000; CREATE TABLE zz_busy (n int)"
    )

    def busy() -> AbstractContextManager[None]:
        argv = [*maria.client(), "--unbuffered", "faulty"]
        return session(argv, "LOCK TABLES zz_busy WRITE", {"MYSQL_PWD": mariadb.PASSWORD})

    spec = Mysql(databases=("faulty",), host=str(maria.socket))
    return Subject("mysql", spec, "mariadb-dump", dict(maria.environment), "/usr/bin", busy)


PACKED = ("postgres custom", "postgres plain", "mysql")
UNPACKED = tuple(f"{name} uncompressed" for name in PACKED)


@pytest.fixture(params=[*PACKED, *UNPACKED])
def subject(
    request: pytest.FixtureRequest,
    postgres_subject: Callable[[PostgresFormat], Subject],
    mysql_subject: Subject,
) -> Subject:
    engine, *words = request.param.split()
    found = mysql_subject if engine == "mysql" else postgres_subject(PostgresFormat(words[0]))
    return replace(found, compress="uncompressed" not in words)


@pytest.fixture
def pod(subject: Subject, shells: dict[str, Shell], folder: Path) -> Container:
    """Each subject with another shell; dash and old busybox have no pipefail."""
    format = getattr(subject.spec, "format", None)
    names = {PostgresFormat.CUSTOM: "bash", PostgresFormat.PLAIN: "dash", None: "busybox"}
    return subject.inside(Container(shells[names[format]], folder))


@contextmanager
def stuck(
    pod: Container, subject: Subject, seconds: float = 60
) -> Iterator[subprocess.Popen[bytes]]:
    """A dump in the middle; at the end of the block it goes on, unless it has ended."""
    with subject.busy():
        process = pod.popen(subject.start(pod.task(seconds=seconds)))
        eventually(lambda: child_running(pod, subject.tool), "the tool")
        yield process
        process.communicate(timeout=120)
    eventually(lambda: not leftovers(process.pid), "the end of every process")


def before(pod: Container, subject: Subject) -> DumpState:
    good = pod.run(subject.start(pod.task("before")))
    assert good.state == State.DONE, good
    return good


def test_a_tool_that_is_killed(pod: Container, subject: Subject) -> None:
    good = before(pod, subject)
    with stuck(pod, subject):
        os.kill(child_running(pod, subject.tool), signal.SIGKILL)
    pod.assert_failed(good, f"{subject.tool} ended by signal 9")


@pytest.mark.parametrize(
    ("subject", "writer"),
    [*((name, "zstd") for name in PACKED), *((name, "cat") for name in UNPACKED[1:])],
    indirect=["subject"],
)
def test_a_writer_of_the_file_that_is_killed(pod: Container, subject: Subject, writer: str) -> None:
    good = before(pod, subject)
    with stuck(pod, subject):
        os.kill(eventually(lambda: child_running(pod, writer), writer), signal.SIGKILL)
    pod.assert_failed(good, f"{writer} ended by signal 9")


def test_the_deadline(pod: Container, subject: Subject) -> None:
    good = before(pod, subject)
    # Time enough for the tool to start on a busy machine.
    with stuck(pod, subject, seconds=4) as process:
        process.wait(timeout=120)
    pod.assert_failed(good, "deadline of 4 s exceeded")


def test_a_cancelled_dump(pod: Container, subject: Subject) -> None:
    good = before(pod, subject)
    with stuck(pod, subject) as process:
        pod.run(ENGINES[subject.name].cancel(pod.task()))
        process.wait(timeout=120)
    pod.assert_failed(good, "cancelled")


def test_a_killed_script_and_its_stale_lock(pod: Container, subject: Subject) -> None:
    good = before(pod, subject)
    with stuck(pod, subject) as process:
        os.killpg(process.pid, signal.SIGKILL)  # as the kernel does with a whole container
    assert pod.result().state == State.INTERRUPTED
    assert pod.result(pod.task("before")) == good
    again = pod.run(subject.start(pod.task(attempt=2)))
    assert again.state == State.DONE, again
    pod.assert_settled()


@pytest.fixture
def disk(folder: Path) -> Iterator[Path]:
    """A file system with room for one dump of the subjects, not for two."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    path = folder / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "backstay", path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)


def as_it_is(task: DumpTask) -> DumpTask:
    return replace(task, compress=False)


def test_a_disk_that_runs_full(pod: Container, subject: Subject, disk: Path) -> None:
    pod = replace(pod, folder=disk)
    filler = AnyCommand(argv=("head", "-c", "2000000", "/dev/zero"))
    good = pod.run(ENGINES["command"].start(as_it_is(pod.task("before")), filler))
    assert good.state == State.DONE
    pod.run(subject.start(pod.task()))
    pod.assert_failed(good, NO_ROOM)
    assert shutil.disk_usage(disk).free > 900_000


def test_too_little_space_for_another_dump_is_refused_with_figures(
    shells: dict[str, Shell], disk: Path
) -> None:
    pod = Container(shells["busybox"], disk, compress=False)
    filler = AnyCommand(argv=("head", "-c", "1500000", "/dev/zero"))
    good = pod.run(ENGINES["command"].start(pod.task("before"), filler))
    task = replace(pod.task(), min_free=1024 * 1024)
    pod.run(ENGINES["command"].start(task, filler))
    needs = "3 MiB needed (the last dump's 2 MiB and a fifth, and minFree 1 MiB)"
    pod.assert_failed(good, f"not enough space in {disk}/: 2 MiB free, {needs}")


def test_the_size_of_an_uncompressed_dump_keeps_no_compressed_one_from_being_tried(
    shells: dict[str, Shell], disk: Path
) -> None:
    pod = Container(shells["dash"], disk, compress=False)
    filler = AnyCommand(argv=("head", "-c", "1500000", "/dev/zero"))
    task = replace(pod.task(), min_free=1024 * 1024)
    assert pod.run(ENGINES["command"].start(pod.task("before"), filler)).compressed is False
    assert pod.run(ENGINES["command"].start(task, filler)).state == State.FAILED
    packed = pod.run(ENGINES["command"].start(replace(task, attempt=2, compress=True), filler))
    assert (packed.state, packed.compressed) == (State.DONE, True), packed


def test_a_dump_is_stopped_before_the_disk_is_full(shells: dict[str, Shell], disk: Path) -> None:
    pod = Container(shells["dash"], disk, compress=False)
    good = pod.run(ENGINES["command"].start(pod.task("before"), AnyCommand(argv=("echo", "x"))))
    grows = AnyCommand(argv=("sh", "-c", "head -c 2500000 /dev/zero; sleep 60"))
    task = replace(pod.task(), min_free=1024 * 1024)
    pod.run(ENGINES["command"].start(task, grows))
    pod.assert_failed(good, f"stopped: 1 MiB free in {disk}/, minFree is 1 MiB")


def test_a_disk_that_is_read_only(pod: Container, subject: Subject, disk: Path) -> None:
    pod = replace(pod, folder=disk)
    tiny = AnyCommand(argv=("echo", "good"))
    good = pod.run(ENGINES["command"].start(as_it_is(pod.task("before")), tiny))
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    state = pod.run(subject.start(pod.task()))
    assert state.state == State.FAILED
    assert "Read-only file system" in (state.message or "")
    pod.assert_settled()
    assert pod.result(pod.task("before")) == good


def test_a_tool_that_is_missing(pod: Container, subject: Subject, shells: dict[str, Shell]) -> None:
    good = before(pod, subject)
    bare = replace(pod, shell=shells["busybox"], programs="")
    state = bare.run(subject.start(pod.task()))
    assert state.exit == 127
    pod.assert_failed(good, f"the container lacks: {subject.tool}")


def test_a_server_that_is_down(pod: Container, subject: Subject) -> None:
    good = before(pod, subject)
    away = subject.spec.model_copy(update={"host": "/no/such/place"})
    pod.run(ENGINES[subject.name].start(pod.task(), away))
    pod.assert_failed(good, "connect")


def test_a_wrong_password(pod: Container, subject: Subject) -> None:
    good = before(pod, subject)
    # A server never says that there is no such role.
    user, words = {
        "postgres": ("guarded", 'password authentication failed for user "guarded"'),
        "mysql": ("root", "Access denied for user 'root'@'localhost'"),
    }[subject.name]
    wrong = PasswordSource(env="MINE")
    spec = subject.spec.model_copy(update={"user": user, "password": wrong})
    here = replace(pod, environment={**subject.environment, "MINE": "wrong $(id)"})
    here.run(ENGINES[subject.name].start(pod.task(), spec))
    pod.assert_failed(good, words)


@pytest.mark.parametrize("source", ["env", "file", "stdin"])
def test_a_password_is_taken_from_where_the_policy_says_and_from_there_alone(
    dash: Container, mysql_subject: Subject, source: str
) -> None:
    file = dash.folder / "secret"
    sources = {
        "env": PasswordSource(env="MINE"),
        "file": PasswordSource(file=str(file)),
        "stdin": PasswordSource(secret_key_ref=SecretKeyRef(name="maria", key="password")),
    }
    spec = mysql_subject.spec.model_copy(update={"password": sources[source]})
    for attempt, password in enumerate((mariadb.PASSWORD, "wrong $(id)"), start=1):
        file.write_text(password + "\n")
        here = replace(dash, environment={"MINE": password}, programs="/usr/bin")
        start = ENGINES["mysql"].start(dash.task(attempt=attempt), spec, password)
        state = here.run(start)
        assert not any("secret" in word and "$(" in word for word in start.argv)
        assert state.state == (State.DONE if attempt == 1 else State.FAILED), state
