"""Where a server keeps its data: asked of real servers, and followed through links."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.faults.dumps.harness import Container
from tests.support import mariadb, postgres, redis

from backstay.api.dumps import Mongodb, Mysql, Postgres, Redis
from backstay.dumps import ENGINES
from backstay.dumps.base import DumpState, State


@pytest.fixture
def pod(container: Container) -> Container:
    """A container with the machine's tools, busybox's own first where that is the shell."""
    programs = "/usr/bin" if "busybox" in container.shell.argv[0] else ""
    return replace(container, programs=programs)


def made(path: Path, like: Path) -> Path:
    """Make a directory that the owner of another one may write to."""
    path.mkdir()
    os.chown(path, like.stat().st_uid, like.stat().st_gid)
    return path


def kept(state: DumpState) -> dict[str, str]:
    """What the server keeps where, by its name."""
    assert state.state is State.DONE, state
    return {d.name: d.at.real for d in state.data or ()}


@pytest.fixture(scope="session")
def spread(server: postgres.Server) -> Iterator[postgres.Server]:
    """The server with a tablespace, and a link in its data directory."""
    data = server.home / "data"
    made(server.home / "space", data)
    made(server.home / "aside", data)
    (data / "linked").symlink_to(server.home / "aside")
    server.sql(f"CREATE TABLESPACE away LOCATION '{server.home}/space'")
    server.sql("CREATE ROLE small LOGIN")
    yield server
    server.sql("DROP TABLESPACE away; DROP ROLE small")
    (data / "linked").unlink()


def postgres_dump(container: Container, server: postgres.Server, **more: str) -> DumpState:
    environment = {**server.environment, **more}
    pod = replace(container, programs=f"{server.bin}", environment=environment)
    command = ENGINES["postgres"].start(pod.task(), Postgres(databases=("postgres",)))
    return pod.run(command)


def test_postgres_says_data_directory_wal_tablespaces_and_links(
    container: Container, spread: postgres.Server
) -> None:
    home = spread.home.resolve()
    assert kept(postgres_dump(container, spread)) == {
        "tablespace": f"{home}/space",
        "data_directory": f"{home}/data",
        "pg_wal": f"{home}/data/pg_wal",
        "linked": f"{home}/aside",
    }


def test_a_user_who_may_not_see_it_goes_by_the_environment(
    dash: Container, spread: postgres.Server
) -> None:
    reported = kept(postgres_dump(dash, spread, PGUSER="small", PGDATA=f"{spread.home}/data"))
    assert reported["data_directory"] == f"{spread.home.resolve()}/data"
    assert reported["pg_wal"] == f"{spread.home.resolve()}/data/pg_wal"


def test_a_user_who_may_not_see_it_says_nothing_without_the_environment(
    dash: Container, spread: postgres.Server
) -> None:
    state = postgres_dump(dash, spread, PGUSER="small")
    assert (state.state, state.data) == (State.DONE, None), state


def test_mariadb_says_its_directories_and_tables_elsewhere(
    pod: Container, maria: mariadb.Server
) -> None:
    home = maria.home.resolve()
    away = made(maria.home / f"away{pod.folder.name}", maria.home / "data")
    made(maria.home / f"other{pod.folder.name}", maria.home / "data")
    link = maria.home / "data" / "linked"
    link.symlink_to(maria.home / f"other{pod.folder.name}")
    maria.sql(
        "CREATE DATABASE far; CREATE TABLE far.t (n int) ENGINE=InnoDB "  # noqa: S608
        f"DATA DIRECTORY='{away}'; INSERT INTO far.t VALUES (1)"
    )
    try:
        reported = kept(
            replace(pod, environment=maria.environment).run(
                ENGINES["mysql"].start(
                    pod.task(), Mysql(host=str(maria.socket), databases=("far",))
                )
            )
        )
    finally:
        link.unlink()
        maria.sql("DROP DATABASE far")
    assert reported["datadir"] == reported["log_bin_basename"] == f"{home}/data"
    assert reported["innodb_log_group_home_dir"] == reported["aria_log_dir_path"] == f"{home}/data"
    assert reported["linked"] == f"{home}/other{pod.folder.name}"
    assert reported["t.isl"] == f"{home}/away{pod.folder.name}/far"


def test_redis_says_its_directory(pod: Container) -> None:
    with redis.running() as server:
        inside = replace(pod, environment={"REDIS_PASSWORD": redis.PASSWORD})
        command = ENGINES["redis"].start(pod.task(), Redis(host=str(server.socket)))
        reported = kept(inside.run(command))
        said = server.ask("CONFIG", "GET", "dir")
    assert reported["dir"].encode() in said


MONGOD = "#!/bin/sh\nsleep 60 & echo started; wait\n"
MONGODUMP = """#!/bin/sh
case $* in
    *--version*) echo 'mongodump version: 100.9.5' ;;
    *) for word in "$@"; do case $word in --archive=*) echo x | gzip >"${word#*=}" ;; esac; done ;;
esac
"""


@pytest.mark.parametrize("how", ["--dbpath=HOME", "--dbpath HOME", "--config CONFIG"])
def test_mongodb_says_it_on_its_command_line(pod: Container, how: str) -> None:
    """A stand-in: there is no MongoDB to test with."""
    folder = pod.folder
    home = folder / "db"
    home.mkdir()
    (home / "WiredTiger").touch()
    (folder / "journal").mkdir()
    (home / "journal").symlink_to(folder / "journal")
    config = folder / "mongod.conf"
    config.write_text(f'storage:\n  dbPath: "{home}"\n')
    tools = folder / "bin"
    tools.mkdir()
    for name, text in (("mongod", MONGOD), ("mongodump", MONGODUMP)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    words = how.replace("HOME", str(home)).replace("CONFIG", str(config)).split()
    with subprocess.Popen(
        [tools / "mongod", *words], stdout=subprocess.PIPE, start_new_session=True
    ) as mongod:
        assert mongod.stdout is not None
        assert mongod.stdout.readline() == b"started\n"
        try:
            inside = replace(pod, programs=f"{tools}:{pod.programs}")
            reported = kept(inside.run(ENGINES["mongodb"].start(pod.task(), Mongodb())))
        finally:
            os.killpg(mongod.pid, 9)
    assert reported == {"dbPath": str(home), "journal": str(folder / "journal")}
