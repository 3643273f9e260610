"""PostgreSQL dumps against a real server: round trips, and what goes wrong in the middle."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.faults.dumps.harness import Container, Shell, leftovers, session
from tests.support.postgres import Server
from tests.support.waiting import eventually

from backstay.api.dumps import Globals, Postgres
from backstay.dumps import ENGINES
from backstay.dumps.base import DumpState, DumpTask, State, parse_result

POSTGRES = ENGINES["postgres"]
SHOP = Postgres(databases=("shop",))

NASTY = r"""
CREATE TABLE "Straße 🐘" (id bigserial PRIMARY KEY, n numeric, f float8, a text[], j jsonb, b bytea,
    twice bigint GENERATED ALWAYS AS (id * 2) STORED);
INSERT INTO "Straße 🐘" (n, f, a, j, b)
    SELECT CASE g % 3 WHEN 0 THEN 'NaN'::numeric ELSE g END, 'Infinity',
        ARRAY['a,"b', NULL, E'\\ü😀\n'],
        jsonb_build_object('k', g, 'ü', NULL), decode(md5(g::text), 'hex')
    FROM generate_series(1, 500) g;
CREATE VIEW v AS SELECT sum(id) FROM "Straße 🐘";
CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT '$(id)'::text $$;
SELECT lo_from_bytea(4711, 'large');
"""


@pytest.fixture(scope="session")
def shop(server: Server) -> Server:
    server.sql("CREATE DATABASE shop")
    server.sql(NASTY, "shop")
    server.sql("CREATE TABLE busy (n int)", "shop")
    return server


def inside(container: Container, server: Server) -> Container:
    """Given a container, put the server's tools and address into it."""
    return replace(container, programs=str(server.bin), environment=server.environment)


@pytest.fixture
def pod(container: Container, shop: Server) -> Container:
    return inside(container, shop)


@pytest.fixture
def bash_pod(shells: dict[str, Shell], folder: Path, shop: Server) -> Container:
    return inside(Container(shells["bash"], folder), shop)


@pytest.fixture
def busybox_pod(shells: dict[str, Shell], folder: Path, shop: Server) -> Container:
    return inside(Container(shells["busybox"], folder), shop)


@pytest.fixture
def dash_pod(dash: Container, shop: Server) -> Container:
    return inside(dash, shop)


def dump(container: Container, database: str = "shop", task: DumpTask | None = None) -> DumpState:
    # Not checked by the model: the script has to stand alone.
    spec = Postgres.model_construct(databases=(database,))
    return container.run(POSTGRES.start(task or container.task(), spec))


BUSY = "BEGIN; LOCK TABLE busy"
BACKENDS = "FROM pg_stat_activity WHERE application_name = 'pg_dump'"


@contextmanager
def stuck(container: Container, server: Server) -> Iterator[subprocess.Popen[bytes]]:
    """A dump that has begun and waits for a table's lock, until it ends; then the lock goes."""
    with session(server.psql("shop"), BUSY, server.environment):
        process = container.popen(POSTGRES.start(container.task(), SHOP))
        try:
            waits = f"SELECT count(*) {BACKENDS} AND wait_event_type = 'Lock'"
            eventually(lambda: server.sql(waits) == "1", "a dump that waits for a lock")
            assert container.result().state == State.RUNNING
            yield process
        finally:
            process.communicate(timeout=120)
    assert_gone(process, server)


def assert_gone(process: subprocess.Popen[bytes], server: Server) -> None:
    """Neither a process of the script nor a backend of its dump is left."""
    eventually(lambda: not leftovers(process.pid), "the end of every process")
    eventually(lambda: server.sql(f"SELECT count(*) {BACKENDS}") == "0", "the end of the backend")


def test_a_dump_restores_to_the_same_database(
    pod: Container, shop: Server, *, compress: bool
) -> None:
    pod = replace(pod, compress=compress)
    state = dump(pod)
    assert (state.state, state.format, state.compressed) == (State.DONE, "custom", compress)
    assert state.sha256 == hashlib.sha256(pod.file.read_bytes()).hexdigest()
    assert state.versions is not None
    version = shop.sql("SHOW server_version")
    assert state.versions["server"] == version
    assert state.versions["tool"] == version
    shop.sql("DROP DATABASE IF EXISTS copy; ")
    shop.sql("CREATE DATABASE copy")
    subprocess.run(
        [shop.bin / "pg_restore", "--exit-on-error", "-d", "copy"],
        input=pod.content(state),
        env={**os.environ, **shop.environment},
        check=True,
    )
    assert shop.contents("copy") == shop.contents("shop")


def test_another_compression_than_the_last_ones_replaces_the_file_and_leaves_nothing(
    dash_pod: Container,
) -> None:
    sizes = {}
    for attempt, compress in enumerate((True, False, True), start=1):
        pod = replace(dash_pod, compress=compress)
        state = dump(pod, task=pod.task(f"run-{attempt}"))
        assert (state.state, state.compressed) == (State.DONE, compress), state
        pod.assert_settled()
        assert sorted(entry.name for entry in pod.folder.iterdir()) == [
            *("shop.dump", "shop.dump.json", "shop.dump.lock")
        ]
        sizes[compress] = state.bytes or 0
    assert sizes[False] > sizes[True]


NAMES = (
    'a\'b "c" \\ $(touch /tmp/backstay-was-here) `id`',
    "-x=1 host=nowhere.invalid",
    "--help",
    "postgresql://nowhere.invalid/x",
    "ünï 🐘",
    "two\nlines\ttab",
    " ",
)


def test_a_database_name_is_data(dash_pod: Container, shop: Server) -> None:
    shop.sql("CREATE DATABASE plain TEMPLATE template0")
    shop.sql("CREATE TABLE marker ()", "plain")
    before = "plain"
    for attempt, name in enumerate(NAMES, start=1):
        was, now = (text.replace('"', '""') for text in (before, name))
        shop.sql(f'ALTER DATABASE "{was}" RENAME TO "{now}"')
        before = name
        state = dump(dash_pod, name, dash_pod.task(attempt=attempt))
        assert state.state == State.DONE, (name, state)
        listing = [str(shop.bin / "pg_restore"), "-l"]
        archive = dash_pod.content(state)
        listed = subprocess.run(listing, input=archive, capture_output=True, check=True).stdout
        assert b" TABLE public marker " in listed
    assert not Path("/tmp/backstay-was-here").exists()


def test_a_name_with_quotes_is_data_in_every_shell(pod: Container) -> None:
    assert dump(pod, 'o\'no \\ "x" ü').message == (
        'pg_dump: error: connection to server on socket "'
        f'{pod.environment["PGHOST"]}/.s.PGSQL.5432" failed: '
        'FATAL: database "o\'no \\ "x" ü" does not exist'
    )


IDENTIFIER = "SELECT system_identifier FROM pg_control_system()"


def test_the_servers_identity_is_on_record(pod: Container, shop: Server) -> None:
    state = dump(pod)
    assert (state.state, state.server) == (State.DONE, shop.sql(IDENTIFIER)), state


def test_the_servers_identity_is_on_record_for_a_dump_of_all(
    dash_pod: Container, shop: Server
) -> None:
    state = dash_pod.run(POSTGRES.start(dash_pod.task(), Postgres(globals=Globals.ONLY)))
    assert (state.state, state.server) == (State.DONE, shop.sql(IDENTIFIER)), state


def test_a_server_that_does_not_say_who_it_is_is_dumped_all_the_same(
    dash_pod: Container, shop: Server
) -> None:
    shop.sql("CREATE ROLE plain LOGIN; GRANT pg_read_all_data TO plain")
    for database in ("postgres", "template1"):
        shop.sql("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM public", database)
    try:
        spec = Postgres(databases=("postgres",), user="plain")
        state = dash_pod.run(POSTGRES.start(dash_pod.task(), spec))
    finally:
        shop.sql("DROP OWNED BY plain; DROP ROLE plain")
        for database in ("postgres", "template1"):
            shop.sql("GRANT EXECUTE ON FUNCTION pg_control_system() TO public", database)
    assert (state.state, state.server) == (State.DONE, None), state


def test_a_database_that_is_not_there_fails(dash_pod: Container) -> None:
    good = dump(dash_pod, task=dash_pod.task("before"))
    assert dump(dash_pod, "nosuch").state == State.FAILED
    dash_pod.assert_failed(good, 'database "nosuch" does not exist')


def test_an_empty_database_name_is_refused(dash_pod: Container) -> None:
    assert dump(dash_pod, "").message == "a database name is empty"


def test_a_terminated_backend_fails_the_dump(bash_pod: Container, shop: Server) -> None:
    good = dump(bash_pod, task=bash_pod.task("before"))
    with stuck(bash_pod, shop):
        shop.sql(f"SELECT pg_terminate_backend(pid) {BACKENDS}")
    bash_pod.assert_failed(good, "terminating connection due to administrator command")


def test_cancel_ends_dump_and_backend(busybox_pod: Container, shop: Server) -> None:
    good = dump(busybox_pod, task=busybox_pod.task("before"))
    with stuck(busybox_pod, shop) as process:
        assert busybox_pod.run(POSTGRES.cancel(busybox_pod.task())).state == State.RUNNING
        process.wait(timeout=120)
        assert_gone(process, shop)  # while the lock that it waited for is still held
    busybox_pod.assert_failed(good, "cancelled")


def test_a_killed_script_leaves_no_dump_behind_and_the_next_attempt_heals(
    pod: Container, shop: Server
) -> None:
    with stuck(pod, shop) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=120)
        # The guard asks pg_dump to end, while the lock that it waits for is still held.
        eventually(lambda: not leftovers(process.pid), "the end of every process")
        assert pod.result().state == State.INTERRUPTED
    assert dump(pod, task=pod.task(attempt=2)).state == State.DONE
    pod.assert_settled()


def test_a_dump_left_over_is_ended_before_the_next(dash_pod: Container, shop: Server) -> None:
    with stuck(dash_pod, shop) as process:
        children = dash_pod.beside(".lock") / "children"
        dump_pid = int(children.read_text().split()[0])
        # All but pg_dump itself die: nobody is left to end it.
        ours = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
        for pid in ours:
            if pid != dump_pid and _session(pid) == process.pid:
                os.kill(pid, signal.SIGKILL)
        assert dash_pod.result().state == State.INTERRUPTED
        again = dash_pod.popen(POSTGRES.start(dash_pod.task(attempt=2), SHOP))
        eventually(lambda: not leftovers(process.pid), "the end of the orphan")
        waits = f"SELECT count(*) {BACKENDS} AND wait_event_type = 'Lock'"
        eventually(lambda: shop.sql(waits) == "1", "the second dump")
        dash_pod.run(POSTGRES.cancel(dash_pod.task(attempt=2)))
        assert parse_result(again.communicate(timeout=120)[0]).message == "cancelled"


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def test_user_and_password_come_from_the_containers_environment(
    dash_pod: Container, shop: Server, tmp_path: Path
) -> None:
    shop.sql("CREATE ROLE guarded LOGIN SUPERUSER PASSWORD 'it''s $(secret)'")
    secret = tmp_path / "secret"
    secret.write_text("it's $(secret)\n")
    where = {"PGHOST": str(shop.home)}
    known = {**where, "POSTGRES_USER": "guarded"}
    password = {"POSTGRES_PASSWORD": "it's $(secret)"}
    for attempt, (environment, words) in enumerate(
        [
            ({**known, **password}, None),
            ({**known, "POSTGRES_PASSWORD_FILE": str(secret)}, None),
            ({**known, **password, "PGUSER": "postgres"}, None),
            ({**known, "POSTGRES_PASSWORD": "wrong"}, "password authentication failed"),
            ({**known, **password, "PGPASSWORD": "wrong"}, "password authentication failed"),
            ({**known, "POSTGRES_PASSWORD_FILE": "/no/such"}, "POSTGRES_PASSWORD_FILE"),
        ],
        start=1,
    ):
        state = dump(
            replace(dash_pod, environment=environment), task=dash_pod.task(attempt=attempt)
        )
        assert state.state == (State.FAILED if words else State.DONE), state
        assert (words or "") in (state.message or "")


def test_a_build_without_zstd_falls_back_to_zlib(
    dash_pod: Container, shop: Server, tmp_path: Path
) -> None:
    fake = tmp_path / "pg_dump"
    fake.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        '    --version) echo "pg_dump (PostgreSQL) 17.2" ;;\n'
        "    *--compress=zstd:1*)\n"
        f"        echo tried >>{tmp_path}/log\n"
        "        echo 'pg_dump: error: invalid compression specification: this build does not"
        " support compression with ZSTD' >&2\n"
        "        exit 1 ;;\n"
        f'    *) exec {shop.bin}/pg_dump "$@" ;;\n'
        "esac\n"
    )
    fake.chmod(0o755)
    pod = replace(dash_pod, programs=f"{tmp_path}:{shop.bin}")
    assert dump(pod).state == State.DONE
    assert (tmp_path / "log").read_text() == "tried\n"


def test_a_container_without_the_tools_is_reported(
    dash: Container, shells: dict[str, Shell]
) -> None:
    bare = Container(shells["busybox"], dash.folder)
    assert dump(bare).message == "the container lacks: pg_dump pg_restore"
    probe = POSTGRES.probe()
    out = _output(bare, probe.argv, probe.stdin)
    missing = '["pg_dump","pg_restore","psql","pg_dumpall"]'
    assert out == f'{{"engine":"postgres","missing":{missing},"versions":{{}}}}\n'


def test_the_probe_reports_versions(pod: Container, shop: Server) -> None:
    probe = POSTGRES.probe()
    out = _output(pod, probe.argv, probe.stdin)
    for tool in ("pg_dump", "pg_restore", "psql"):
        assert f'"{tool}":"{tool} (PostgreSQL) {shop.sql("SHOW server_version")}"' in out
    assert '"missing":[]' in out


def _output(container: Container, argv: Sequence[str], script: bytes) -> str:
    done = subprocess.run(
        [*container.shell.argv, *argv[1:]],
        input=script,
        env={"PATH": f"{container.programs}:{container.shell.path}"},
        capture_output=True,
        check=True,
    )
    return done.stdout.decode()
