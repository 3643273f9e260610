"""PostgreSQL: several databases, all of them, roles, and 1,000 tables, mostly as SQL."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.faults.dumps.harness import Container
from tests.faults.dumps.test_postgres import NASTY, inside
from tests.support import postgres
from tests.support.postgres import Server

from backstay.api.dumps import Globals, Postgres, PostgresFormat
from backstay.dumps import ENGINES
from backstay.dumps.base import DumpState, State

POSTGRES = ENGINES["postgres"]
NAMES = ('it\'s "$(id)" \\ ü🐘', "-x two\\nlines\t\\")
ROLES = r"""
CREATE ROLE "o'wner $(id)" LOGIN PASSWORD 'p' CONNECTION LIMIT 7;
CREATE ROLE readers;
GRANT readers TO "o'wner $(id)";
"""
STRUCTURES = r"""
CREATE TABLE parts (k int, v text) PARTITION BY RANGE (k);
CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE high PARTITION OF parts DEFAULT;
INSERT INTO parts SELECT g, repeat('x', g % 50) FROM generate_series(1, 500) g;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN RETURN NEW; END $f$;
CREATE TRIGGER tr BEFORE INSERT ON parts FOR EACH ROW EXECUTE FUNCTION touch();
CREATE MATERIALIZED VIEW mv AS SELECT count(*) FROM parts;
CREATE TYPE mood AS ENUM ('so so', E'\\''');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
GRANT SELECT ON parts TO readers;
DO $$ BEGIN FOR i IN 1..1000 LOOP
    EXECUTE format('CREATE TABLE many_%s (id int PRIMARY KEY, t text DEFAULT %L)', i, i);
    EXECUTE format('INSERT INTO many_%s VALUES (%s)', i, i);
END LOOP; END $$;
"""


@pytest.fixture(scope="module")
def source() -> Iterator[Server]:
    """A server of its own: all of its databases are dumped."""
    with postgres.running() as server:
        server.sql(ROLES)
        for name in NAMES:
            quoted = name.replace('"', '""')
            server.sql(f'CREATE DATABASE "{quoted}"')
            server.sql(NASTY, name)
        server.sql(STRUCTURES, NAMES[0])
        server.sql("CREATE TABLE of_postgres AS SELECT 1 AS n")
        yield server


def dump(container: Container, server: Server, **values: Any) -> DumpState:
    # A name with a tab passes no check of ours, but all databases may have one.
    spec = Postgres.model_construct(None, **values)
    return inside(container, server).run(POSTGRES.start(container.task(), spec))


def restore(server: Server, text: bytes, database: str, *options: str) -> None:
    argv = [word for word in server.psql(database) if word not in ("-v", "ON_ERROR_STOP=1")]
    done = subprocess.run(
        [*argv, *options],
        input=text,
        env={**os.environ, **server.environment},
        capture_output=True,
        check=False,
    )
    words = [line for line in done.stderr.decode().splitlines() if "ERROR" in line]
    assert all('role "postgres" already exists' in line for line in words), words


def globals_of(server: Server) -> str:
    return server.sql(
        "SELECT rolname, rolconnlimit, rolpassword FROM pg_authid ORDER BY 1;"
        "SELECT roleid::regrole, member::regrole FROM pg_auth_members ORDER BY 1, 2"
    )


def test_all_databases_and_roles_restore_into_an_empty_server(
    container: Container, source: Server, *, compress: bool
) -> None:
    container = replace(container, compress=compress)
    state = dump(container, source)
    assert state.compressed is compress
    assert state.state == State.DONE, state
    assert (state.format, state.versions and state.versions["server"]) == (
        "plain",
        source.sql("SHOW server_version"),
    )
    with postgres.running() as empty:
        restore(empty, container.content(state), "postgres")
        assert globals_of(empty) == globals_of(source)
        for name in (*NAMES, "postgres"):
            assert empty.contents(name, "--create") == source.contents(name, "--create")


def test_one_database_as_sql_restores_under_another_name(dash: Container, source: Server) -> None:
    state = dump(dash, source, databases=NAMES[:1], format=PostgresFormat.PLAIN)
    assert state.state == State.DONE, state
    source.sql("CREATE DATABASE copy")
    restore(source, dash.content(state), "copy")
    assert source.contents("copy") == source.contents(NAMES[0])
    source.sql("DROP DATABASE copy")


def test_a_custom_dump_of_1000_tables_is_the_same_database(dash: Container, source: Server) -> None:
    state = dump(dash, source, databases=NAMES[:1])
    assert state.state == State.DONE, state
    source.sql("CREATE DATABASE copy")
    subprocess.run(
        [source.bin / "pg_restore", "--exit-on-error", "-d", "copy"],
        input=dash.content(state),
        env={**os.environ, **source.environment},
        check=True,
    )
    assert source.contents("copy") == source.contents(NAMES[0])
    source.sql("DROP DATABASE copy")


def test_roles_alone_are_a_dump(dash: Container, source: Server) -> None:
    state = dump(dash, source, globals=Globals.ONLY)
    assert state.state == State.DONE, state
    text = dash.content(state).decode()
    assert 'CREATE ROLE "o\'wner $(id)";' in text
    assert "CREATE TABLE" not in text


def test_several_databases_of_which_one_is_missing_fail(dash: Container, source: Server) -> None:
    state = dump(dash, source, databases=(NAMES[0], "nosuch"))
    assert state.state == State.FAILED
    assert 'database "nosuch" does not exist' in (state.message or "")
    assert not dash.file.exists()


def test_a_dump_that_ends_too_early_fails(dash: Container, source: Server) -> None:
    fake = dash.folder / "bin"
    fake.mkdir()
    (fake / "pg_dump").write_text(f'#!/bin/sh\n{source.bin}/pg_dump "$@" | head -n 30\n')
    (fake / "pg_dump").chmod(0o755)
    pod = replace(inside(dash, source), programs=f"{fake}:{source.bin}")
    spec = Postgres(databases=("postgres",), format=PostgresFormat.PLAIN)
    state = pod.run(POSTGRES.start(pod.task(), spec))
    assert state.message == 'the dump does not end with "-- PostgreSQL database dump complete"'
