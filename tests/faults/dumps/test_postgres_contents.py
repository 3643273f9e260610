"""What a PostgreSQL dump has, against what the server has: rights, environment, omissions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.faults.dumps.harness import Container
from tests.support import postgres
from tests.support.postgres import Server
from tests.support.waiting import eventually

from backstay.api.dumps import Postgres
from backstay.dumps import ENGINES
from backstay.dumps.base import DumpState, State

SHOP = r"""
CREATE TABLE "a; Type: TABLE	b" (id serial PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY);
CREATE TABLE parts (k int) PARTITION BY RANGE (k);
CREATE TABLE low PARTITION OF parts FOR VALUES FROM (1) TO (9);
INSERT INTO parts VALUES (1), (2);
CREATE VIEW v AS SELECT k FROM parts;
CREATE MATERIALIZED VIEW m AS SELECT k FROM parts;
CREATE MATERIALIZED VIEW empty AS SELECT k FROM parts WITH NO DATA;
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE total(int) (sfunc = int4pl, stype = int);
CREATE TRIGGER tr BEFORE INSERT ON parts FOR EACH ROW EXECUTE FUNCTION f();
CREATE TYPE span AS RANGE (subtype = int4);
CREATE UNLOGGED TABLE sessions AS SELECT generate_series(1, 500) a;
CREATE SCHEMA "Ober;Schema";
CREATE TABLE "Ober;Schema".t (a int);
SELECT lo_from_bytea(4711, 'large');
"""
FORMATS = ("custom", "plain")


@pytest.fixture
def shop(server: Server) -> Iterator[Server]:
    server.sql("CREATE DATABASE contents")
    server.sql(SHOP, "contents")
    yield server
    server.sql("DROP DATABASE contents WITH (FORCE)")


@pytest.fixture
def pod(container: Container, shop: Server) -> Container:
    return replace(container, programs=str(shop.bin), environment=shop.environment)


@pytest.fixture
def dash_pod(dash: Container, shop: Server) -> Container:
    return replace(dash, programs=str(shop.bin), environment=shop.environment)


def dump(pod: Container, **values: object) -> DumpState:
    spec = Postgres.model_validate({"databases": ("contents",), **values})
    return pod.run(ENGINES["postgres"].start(pod.task(), spec))


def fresh(pod: Container, name: str) -> Container:
    found = replace(pod, folder=pod.folder / name)
    found.folder.mkdir()
    return found


@pytest.mark.parametrize("format", FORMATS)
def test_a_dump_that_lacks_nothing_has_no_notes(pod: Container, format: str) -> None:
    state = dump(pod, format=format)
    assert (state.state, state.notes) == (State.DONE, ()), state


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("omitted", "words"),
    [
        ("--exclude-table=low", "public.low, the rows of public.low"),
        ("--exclude-table-data=low", "the rows of public.low"),
        ("--exclude-table=v", "public.v"),
        ("'--exclude-schema=*ber*'", "Ober;Schema.t, the rows of Ober;Schema.t"),
        ("--no-blobs", "the large objects"),
    ],
)
def test_what_the_server_has_and_the_dump_lacks_fails_it(
    dash_pod: Container, shop: Server, format: str, omitted: str, words: str
) -> None:
    folder = dash_pod.folder / "bin"
    folder.mkdir()
    (folder / "pg_dump").write_text(f'#!/bin/sh\nexec {shop.bin}/pg_dump "$@" {omitted}\n')
    (folder / "pg_dump").chmod(0o755)
    state = dump(replace(dash_pod, programs=f"{folder}:{shop.bin}"), format=format)
    assert state.message == f"the database has what the dump lacks: {words}", state


GRANTS = {
    "GRANT pg_read_all_data TO low": "GRANT pg_read_all_data TO low;",
    "ALTER ROLE low BYPASSRLS": "rows of 1 (public.low): ALTER ROLE low BYPASSRLS;",
    "GRANT SELECT ON LARGE OBJECT 4711 TO low": "1 (large object 4711): GRANT SELECT ON",
}


@pytest.fixture
def low(shop: Server) -> Iterator[Server]:
    shop.sql("CREATE ROLE low LOGIN")
    shop.sql("ALTER TABLE low ENABLE ROW LEVEL SECURITY", "contents")
    yield shop
    shop.sql("DROP OWNED BY low", "contents")
    shop.sql("DROP ROLE low")


@pytest.mark.parametrize("missing", [None, *GRANTS])
def test_each_right_that_is_missing_is_named(
    dash_pod: Container, low: Server, missing: str | None
) -> None:
    for grant in GRANTS:
        if grant != missing:
            low.sql(grant, "contents")
    state = dump(dash_pod, user="low")
    assert state.state == (State.FAILED if missing else State.DONE), state
    assert GRANTS.get(missing or "", "") in (state.message or "")


def test_roles_with_their_passwords_are_for_who_may_read_all(
    dash_pod: Container, low: Server
) -> None:
    low.sql("ALTER ROLE low BYPASSRLS")
    low.sql("GRANT SELECT ON LARGE OBJECT 4711 TO low", "contents")
    for schema in ("public", '"Ober;Schema"'):
        low.sql(f"GRANT USAGE ON SCHEMA {schema} TO low", "contents")
        for kind in ("TABLES", "SEQUENCES"):
            low.sql(f"GRANT SELECT ON ALL {kind} IN SCHEMA {schema} TO low", "contents")
    assert dump(dash_pod, user="low").state == State.DONE
    state = dump(fresh(dash_pod, "all"), user="low", format="plain", globals="include")
    assert (state.message or "").endswith(
        "may not read roles and their passwords: GRANT pg_read_all_data TO low; or globals: omit."
    ), state


def test_what_a_plain_role_may_not_see_is_a_note(dash_pod: Container, low: Server) -> None:
    for grant in GRANTS:
        low.sql(grant, "contents")
    low.sql(
        "CREATE EXTENSION postgres_fdw; CREATE SERVER other FOREIGN DATA WRAPPER postgres_fdw;"
        "CREATE USER MAPPING FOR postgres SERVER other OPTIONS (user 'x', password 'y');"
        "CREATE SUBSCRIPTION sub CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false)",
        "contents",
    )
    try:
        assert set(dump(dash_pod, user="low").notes) == {
            "not in the dump, as role low may not see them: options of 1 (user mapping of postgres "
            "for other)",
            "pg_dump: warning: subscriptions not dumped because current user is not a superuser",
            "not in the dump: subscription sub",
        }
        assert dump(fresh(dash_pod, "root")).notes == ()
    finally:
        low.sql("ALTER SUBSCRIPTION sub SET (slot_name = NONE)", "contents")
        low.sql("DROP SUBSCRIPTION sub", "contents")


@pytest.mark.parametrize("format", FORMATS)
def test_rows_of_unlogged_tables_that_a_standby_has_not_are_a_note(
    pod: Container, shop: Server, format: str
) -> None:
    with postgres.standby_of(shop) as standby:
        there = replace(pod, environment=standby.environment)
        state = dump(there, format=format)
        assert state.state == State.DONE, state
        assert state.notes == (
            "a standby has no rows of unlogged tables, nor has the dump: 1 (public.sessions)",
        )


def test_a_standby_that_does_not_follow_its_primary_says_so(
    dash_pod: Container, shop: Server
) -> None:
    with postgres.standby_of(shop) as standby:
        there = replace(dash_pod, environment=standby.environment)
        standby.sql("SELECT pg_wal_replay_pause()")
        paused = "SELECT pg_is_wal_replay_paused()"
        eventually(lambda: standby.sql(paused) == "t", "a pause")
        notes = dump(there).notes
    assert len(notes) == 2, notes
    assert notes[1].startswith(
        "the standby does not follow its primary; its last transaction is of"
    )


def test_rows_that_pg_dump_leaves_out_by_design_are_notes(
    dash_pod: Container, shop: Server
) -> None:
    shop.sql(
        "CREATE EXTENSION postgres_fdw; CREATE SERVER other FOREIGN DATA WRAPPER postgres_fdw;"
        "CREATE FOREIGN TABLE far (a int) SERVER other;"
        "CREATE TABLE its AS SELECT 1 a; ALTER EXTENSION postgres_fdw ADD TABLE its",
        "contents",
    )
    shop.sql("CREATE DATABASE closed ALLOW_CONNECTIONS false")
    try:
        rows = (
            "the rows of foreign tables are not in the dump: 1 (public.far)",
            "rows of tables that belong to extensions are not in the dump: 1 (public.its)",
        )
        assert dump(dash_pod).notes == rows
        state = dump(fresh(dash_pod, "all"), databases=())
        assert "databases that accept no connections are not in the dump: 1 (closed)" in state.notes
        assert any("contents.public.far" in note for note in state.notes)
    finally:
        shop.sql("DROP DATABASE closed")


def test_an_environment_that_would_change_the_dump_is_not_used_and_reported(
    dash_pod: Container, shop: Server
) -> None:
    shop.sql("CREATE TABLE t AS SELECT 'ü'::text AS t", "contents")
    environment = {
        "PGOPTIONS": "-c default_transaction_read_only=off -c statement_timeout=1",
        "PGCLIENTENCODING": "LATIN1",
        "PGDATABASE": "nosuch",
        **shop.environment,
    }
    there = replace(dash_pod, environment=environment)
    state = dump(there, format="plain", globals="include")
    assert state.state == State.DONE, state
    assert "ü" in there.content(state).decode()
    assert state.notes == tuple(
        f"not used, though the container's environment has it: {name}"
        for name in ("PGOPTIONS", "PGCLIENTENCODING")
    )


def test_a_service_file_says_where_a_server_is_and_no_more(
    dash_pod: Container, shop: Server
) -> None:
    shop.sql("CREATE TABLE t AS SELECT 'ü'::text AS t", "contents")
    service = dash_pod.folder / "service.conf"
    service.write_text(
        f"[here]\nhost={shop.home}\nuser=postgres\ndbname=nosuch\nclient_encoding=SQL_ASCII\n"
        "options=-c role=nosuch\n"
    )
    environment = {"PGSERVICE": "here", "PGSERVICEFILE": str(service)}
    there = replace(dash_pod, environment=environment)
    state = dump(there, format="plain", user="postgres")
    assert (state.state, state.notes) == (State.DONE, ()), state
    assert "SET client_encoding = 'UTF8'" in there.content(state).decode()


def test_a_container_without_psql_says_that_nothing_was_compared(
    dash_pod: Container, shop: Server
) -> None:
    folder = dash_pod.folder / "bin"
    folder.mkdir()
    for name in ("pg_dump", "pg_restore"):
        (folder / name).symlink_to(shop.bin / name)
    for name in [
        "mkdir",
        "rm",
        "mv",
        "ln",
        "cat",
        "head",
        "tail",
        "tr",
        "od",
        "awk",
        "sed",
        "grep",
        "sleep",
        "stat",
        "sha256sum",
        "sync",
        "date",
        "id",
    ]:
        (folder / name).symlink_to("/usr/bin/" + name)
    shell = replace(dash_pod.shell, argv=("/bin/dash",), path=str(folder))
    state = dump(replace(dash_pod, shell=shell, programs=str(folder)))
    assert state.state == State.DONE, state
    assert state.notes == (
        "the container has no psql: what is in the dump was not compared with the server",
    )
