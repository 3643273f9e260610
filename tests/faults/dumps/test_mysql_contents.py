"""What a MariaDB dump has, against what the server has: rights, option files, history, limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.faults.dumps.harness import Container
from tests.support import mariadb
from tests.support.mariadb import Server

from backstay.api.dumps import Mysql
from backstay.api.server import PasswordSource
from backstay.dumps import ENGINES
from backstay.dumps.base import DumpState, State

SHOP = """
CREATE TABLE orders (id int PRIMARY KEY, t text); INSERT INTO orders VALUES (1, 'a'), (2, 'b');
CREATE VIEW v AS SELECT id FROM orders;
CREATE SEQUENCE numbers;
CREATE TRIGGER tr BEFORE INSERT ON orders FOR EACH ROW SET new.t = upper(new.t);
CREATE EVENT ev ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01' DO SELECT 1;
CREATE PROCEDURE `p``q`() SELECT 1;
CREATE FUNCTION f() RETURNS int DETERMINISTIC RETURN 7;
"""


@pytest.fixture
def shop(maria: Server) -> Iterator[Server]:
    maria.sql("CREATE DATABASE shop")
    maria.sql(SHOP, "shop")
    yield maria
    maria.sql("DROP DATABASE shop")


@pytest.fixture
def pod(container: Container, shop: Server) -> Container:
    programs = "/usr/bin" if "busybox" in container.shell.argv[0] else ""
    return replace(container, environment=shop.environment, programs=programs)


@pytest.fixture
def dash_pod(dash: Container, shop: Server) -> Container:
    return replace(dash, environment=shop.environment)


def dump(pod: Container, server: Server, *databases: str, **values: object) -> DumpState:
    spec = Mysql.model_validate({"databases": databases, "host": str(server.socket), **values})
    return pod.run(ENGINES["mysql"].start(pod.task(), spec))


def tool(pod: Container, text: str) -> Container:
    """A container whose mariadb-dump is a shell script that goes on to the real one."""
    folder = pod.folder / "bin"
    folder.mkdir()
    (folder / "mariadb-dump").write_text(f'#!/bin/sh\n{text}\nexec /usr/bin/mariadb-dump "$@"\n')
    (folder / "mariadb-dump").chmod(0o755)
    return replace(pod, programs=f"{folder}:{pod.programs}" if pod.programs else str(folder))


@pytest.mark.parametrize(
    ("omitted", "words"),
    [
        ("--ignore-table=shop.orders", "table shop.orders, the rows of shop.orders (InnoDB)"),
        ("--ignore-table=shop.v", "view shop.v"),
        ("--ignore-table=shop.numbers", "sequence shop.numbers"),
        ("--skip-routines", "a function of shop"),
        ("--skip-triggers", "a trigger of shop"),
        ("--skip-events", "an event of shop"),
        ("--no-data", "the rows of shop.orders (InnoDB)"),
    ],
)
def test_what_the_server_has_and_the_dump_lacks_fails_it(
    pod: Container, shop: Server, omitted: str, words: str
) -> None:
    rewritten = f'case $word in --) set -- "$@" {omitted} -- ;; *) set -- "$@" "$word" ;; esac'
    rewriting = tool(pod, f'for word in "$@"; do shift; {rewritten}; done')
    state = dump(rewriting, shop, "shop")
    assert (state.state, state.exit) == (State.FAILED, 1), state
    assert (state.message or "").startswith("the database has what the dump lacks: ")
    assert words in (state.message or "")


@pytest.mark.parametrize("change", ["CREATE TABLE shop.late (n int)", "DROP TABLE shop.early"])
def test_what_came_or_went_during_the_dump_is_nobodys_mistake(
    dash_pod: Container, shop: Server, change: str
) -> None:
    shop.sql("CREATE TABLE shop.early (n int)")
    client = " ".join(shop.client())
    before = f'case $* in *shop*) MYSQL_PWD="$ROOT" {client} -e "{change}" ;; esac </dev/null'
    changing = tool(dash_pod, before if "DROP" in change else "")
    if "CREATE" in change:
        real = changing.folder / "bin" / "mariadb-dump"
        real.write_text(f'#!/bin/sh\n/usr/bin/mariadb-dump "$@"\nended=$?\n{before}\nexit $ended\n')
    environment = {**changing.environment, "ROOT": mariadb.PASSWORD}
    state = dump(replace(changing, environment=environment), shop, "shop")
    assert state.state == State.DONE, state
    there = shop.sql("SHOW TABLES", "shop").splitlines()
    assert ("late" in there) == ("CREATE" in change)
    assert ("early" in there) == ("CREATE" in change)


OPTIONS = """
[mysqldump]
no-data
where = "1 = 0"
ignore_table = shop.orders
skip-comments
[client]
loose-ssl
user = nobody
password = wrong
"""


def test_option_files_leave_nothing_out_and_are_reported(
    pod: Container, shop: Server, tmp_path: Path
) -> None:
    (tmp_path / ".my.cnf").write_text(OPTIONS)
    state = dump(replace(pod, environment={**pod.environment, "HOME": str(tmp_path)}), shop, "shop")
    assert state.state == State.DONE, state
    assert b"(1,'a')" in pod.content(state)
    (note,) = state.notes
    assert note == (
        "not used, though option files of the container have it: no-data, where, ignore-table, "
        "skip-comments"
    )


def test_an_option_files_password_that_is_not_used_is_named_where_one_is_missing(
    dash_pod: Container, shop: Server, tmp_path: Path
) -> None:
    (tmp_path / ".my.cnf").write_text("[client]\npassword = 'it is not read'\n")
    state = dump(replace(dash_pod, environment={"HOME": str(tmp_path)}), shop, "shop")
    assert state.state == State.FAILED, state
    assert "Access denied" in (state.message or "")
    assert "user and password of option files are not used: name them in the policy" in (
        state.message or ""
    )


def test_option_files_say_where_the_server_is(
    dash_pod: Container, shop: Server, tmp_path: Path
) -> None:
    text = f"[client]\nsocket = {shop.socket}\n[mysqldump]\nquick\n[mysql]\nbatch\n"
    (tmp_path / ".my.cnf").write_text(text)
    environment = {"HOME": str(tmp_path), "MARIADB_ROOT_PASSWORD": mariadb.PASSWORD}
    # Only the client would go there.
    environment |= {"MYSQL_HOST": "nowhere.invalid"}
    spec = Mysql(databases=("shop",))
    there = replace(dash_pod, environment=environment)
    state = there.run(ENGINES["mysql"].start(there.task(), spec))
    assert (state.state, state.notes) == (State.DONE, ()), state


RIGHTS = ("SELECT", "SHOW VIEW", "TRIGGER", "EVENT")


def granted(server: Server, *grants: str) -> None:
    server.sql("CREATE OR REPLACE USER lo@localhost IDENTIFIED BY 'lo'")
    for grant in grants:
        server.sql(f"GRANT {grant} TO lo@localhost")


def dump_as_lo(pod: Container, server: Server, *databases: str) -> DumpState:
    there = replace(pod, environment={**pod.environment, "PW": "lo"})
    return dump(there, server, *databases, user="lo", password=PasswordSource(env="PW"))


@pytest.mark.parametrize("missing", RIGHTS)
def test_each_right_that_is_missing_is_named(
    dash_pod: Container, shop: Server, missing: str
) -> None:
    rest = ", ".join(right for right in RIGHTS if right != missing)
    granted(shop, f"{rest} ON shop.*", "SELECT ON mysql.proc")
    state = dump_as_lo(dash_pod, shop, "shop")
    assert state.state == State.FAILED, state
    assert (state.message or "").endswith(f": GRANT {missing} ON `shop`.* TO 'lo'@'localhost';")
    assert "lo@localhost may not see all" in (state.message or "")


@pytest.mark.parametrize(
    ("grants", "words"),
    [
        (("SELECT, SHOW VIEW, TRIGGER, EVENT ON shop.*",), "GRANT SELECT ON mysql.proc TO"),
        (("SELECT ON shop.orders",), "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON `shop`.* TO"),
        (("ALL ON `shop_`.*",), "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON `shop`.* TO"),
        (("ALL ON `sho_`.*", "SELECT ON mysql.*"), None),
        (("ALL ON `s%`.*", "SELECT ON mysql.proc"), None),
        (("ALL ON shop.*",), "SHOW CREATE FUNCTION `f`! GRANT SELECT ON mysql.proc TO"),
        (("ALL ON `sho\\_`.*",), "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON `shop`.* TO"),
        (("SELECT, SHOW VIEW, TRIGGER, EVENT ON *.*",), None),
        (("SELECT, SHOW VIEW ON *.*", "TRIGGER, EVENT ON shop.*"), None),
    ],
)
def test_rights_count_wherever_they_come_from(
    pod: Container, shop: Server, grants: tuple[str, ...], words: str | None
) -> None:
    granted(shop, *grants)
    state = dump_as_lo(pod, shop, "shop")
    assert state.state == (State.FAILED if words else State.DONE), state
    assert (words or "") in (state.message or "")


def test_rights_of_an_active_role_count(dash_pod: Container, shop: Server) -> None:
    granted(shop)
    shop.sql(
        "CREATE OR REPLACE ROLE dumps; GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON *.* TO dumps"
    )
    shop.sql("GRANT dumps TO lo@localhost")
    assert "GRANT SELECT," in (dump_as_lo(dash_pod, shop, "shop").message or "")
    shop.sql("SET DEFAULT ROLE dumps FOR lo@localhost")
    again = replace(dash_pod, folder=dash_pod.folder / "again")
    again.folder.mkdir()
    assert dump_as_lo(again, shop, "shop").state == State.DONE


def test_all_databases_need_rights_to_all_of_them(dash_pod: Container, shop: Server) -> None:
    granted(shop, "ALL ON shop.*")
    message = dump_as_lo(dash_pod, shop).message or ""
    assert "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON *.* TO 'lo'@'localhost';" in message


def test_history_is_in_the_dump_and_in_what_is_restored(pod: Container, shop: Server) -> None:
    shop.sql(
        "CREATE TABLE h (id int PRIMARY KEY, v int) WITH SYSTEM VERSIONING;"
        "INSERT INTO h VALUES (1, 1); UPDATE h SET v = 2; DELETE FROM h",
        "shop",
    )
    rows = "SELECT id, v, row_start, row_end FROM h FOR SYSTEM_TIME ALL ORDER BY row_start"
    state = dump(pod, shop, "shop")
    assert (state.state, state.notes) == (State.DONE, ()), state
    shop.sql("CREATE OR REPLACE DATABASE copy")
    shop.sql(pod.content(state).decode(), "copy")
    assert shop.sql(rows, "copy") == shop.sql(rows, "shop")
    assert len(shop.sql(rows, "copy").splitlines()) == 2


def test_history_that_the_tool_cannot_dump_is_a_note(dash_pod: Container, shop: Server) -> None:
    shop.sql("CREATE TABLE h (id int) WITH SYSTEM VERSIONING", "shop")
    old = tool(dash_pod, "case $* in *--help*) echo --gtid; exit ;; esac")
    (note,) = dump(old, shop, "shop").notes
    assert note.startswith(
        "the history of 1 (shop.h) is not in the dump: mariadb-dump before 10.11"
    )
    shop.sql(
        "CREATE TABLE exact (id int, a bigint unsigned GENERATED ALWAYS AS ROW START,"
        "b bigint unsigned GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (a, b))"
        "WITH SYSTEM VERSIONING ENGINE InnoDB",
        "shop",
    )
    new = replace(dash_pod, folder=dash_pod.folder / "new", programs="")
    new.folder.mkdir()
    state = dump(new, shop, "shop")
    assert state.state == State.DONE, state
    (note,) = state.notes
    assert note == (
        "the history of 2 (shop.exact, shop.h) is not in the dump: mariadb-dump cannot dump one "
        "that is kept by transaction, as that of 1 (shop.exact)"
    )


def test_a_servers_limit_of_rows_never_truncates_a_dump(dash_pod: Container, shop: Server) -> None:
    for limit in ("1", "0"):
        shop.sql(f"SET GLOBAL sql_select_limit = {limit}")
        try:
            pod = replace(dash_pod, folder=dash_pod.folder / limit)
            pod.folder.mkdir()
            state = dump(pod, shop, "shop")
        finally:
            shop.sql("SET GLOBAL sql_select_limit = DEFAULT")
        assert state.state == State.FAILED, state
        assert f"sql_select_limit of the server (or its init_connect) is {limit}" in (
            state.message or ""
        )


def test_rows_that_are_elsewhere_or_of_another_moment_are_notes(
    dash_pod: Container, shop: Server
) -> None:
    tables = "CREATE TABLE m (n int) ENGINE MyISAM; CREATE TABLE u (n int) ENGINE MERGE UNION (m)"
    shop.sql(tables, "shop")
    state = dump(dash_pod, shop, "shop")
    assert state.state == State.DONE, state
    assert set(state.notes) == {
        "not of the same moment as the rest, for want of transactions: 1 (shop.m)",
        "not in the dump: the rows of shop.u (MRG_MyISAM)",
    }


def test_large_binary_rows_can_be_loaded_by_a_server_like_theirs(
    pod: Container, shop: Server
) -> None:
    shop.sql(
        "CREATE TABLE large"
        "(id int PRIMARY KEY, d longblob, b varbinary(256), n bit(64), t longtext);"
        "INSERT INTO large SELECT seq, NULL, NULL, seq, NULL FROM seq_1_to_256;"
        "UPDATE large SET b = repeat(unhex(lpad(hex(id - 1), 2, '0')), 256), n = (id - 1) << 56;"
        "SET @n = 9 * 1024 * 1024;"
        "UPDATE large SET d = repeat(unhex('ff'), @n) WHERE id = 1;"
        "UPDATE large SET t = repeat('ü', @n / 2) WHERE id = 2;"
        "UPDATE large SET d = repeat('\\0', @n / 2) WHERE id = 3",
        "shop",
    )
    state = dump(pod, shop, "shop")
    assert state.state == State.DONE, state
    shop.sql("CREATE OR REPLACE DATABASE copy")
    loaded = pod.folder / "loaded.sql"
    loaded.write_bytes(pod.content(state))
    shop.sql(f"source {loaded}", "copy")
    digests = "SELECT id, md5(d), md5(b), md5(t), hex(n) FROM large ORDER BY id"
    assert shop.sql(digests, "copy") == shop.sql(digests, "shop")


def test_events_that_only_a_primary_runs_are_a_note(dash_pod: Container, shop: Server) -> None:
    shop.sql("ALTER EVENT ev DISABLE ON SLAVE", "shop")
    assert dump(dash_pod, shop, "shop").notes == (
        "events that a replica does not run stay disabled in what is restored: 1 (shop.ev)",
    )


@pytest.mark.parametrize("mode", ["ORACLE", "ANSI,NO_BACKSLASH_ESCAPES", "EMPTY_STRING_IS_NULL"])
def test_the_servers_mode_changes_nothing(dash_pod: Container, shop: Server, mode: str) -> None:
    """The catalogue is asked in the session that the server gives everybody."""
    before = shop.sql("SELECT @@global.sql_mode")
    shop.sql(f"SET GLOBAL sql_mode = '{mode}'")
    try:
        state = dump(dash_pod, shop, "shop")
        granted(shop, "SELECT ON shop.*")
        there = replace(dash_pod, folder=dash_pod.folder / "low")
        there.folder.mkdir()
        low = dump_as_lo(there, shop, "shop")
    finally:
        shop.sql(f"SET GLOBAL sql_mode = '{before}'")
    assert (state.state, state.notes) == (State.DONE, ()), state
    assert "GRANT SHOW VIEW, TRIGGER, EVENT ON `shop`.* TO" in (low.message or "")
    assert shop.sql("SELECT count(*) FROM orders", "shop") == "2"


def test_a_position_that_the_server_cannot_report_is_left_out(dash: Container) -> None:
    """As after a restore with larger packets; mariadb-dump 10.11 crashes when it asks."""
    with mariadb.running() as server:
        server.sql("SET GLOBAL max_allowed_packet = 1 << 30; CREATE DATABASE shop")
        server.sql(
            "SET binlog_format = ROW; CREATE TABLE t (d longblob);"
            "INSERT INTO t VALUES (repeat('x', 20 * 1024 * 1024))",
            "shop",
        )
        server.sql("SET GLOBAL max_allowed_packet = 16 << 20")
        pod = replace(dash, environment=server.environment)
        state = dump(pod, server, "shop")
        assert (state.state, state.position) == (State.DONE, None), state
        (note,) = state.notes
        assert note.startswith("the position is not known: binlog.000001 has an event larger than")
        server.sql("FLUSH BINARY LOGS")
        again = replace(pod, folder=pod.folder / "again")
        again.folder.mkdir()
        state = dump(again, server, "shop")
        assert state.notes == ()
        assert "gtid_slave_pos" in (state.position or "")


def test_a_limit_of_rows_is_lifted_where_the_tool_can_do_so(
    dash_pod: Container, shop: Server
) -> None:
    """mariadb-dump 10.11 has no --init-command: its session is given what that would say."""
    reported = dash_pod.folder / "reported"
    client = " ".join(shop.client())
    rewriting = tool(
        dash_pod,
        'case $* in *--help*) echo "--init-command --gtid"; exit ;; esac\n'
        'for word in "$@"; do shift\n'
        'case $word in --init-command=*) printf %s "${word#*=}" >"$SEEN_BY_TOOL" ;;\n'
        '*) set -- "$@" "$word" ;; esac; done\n'
        f'case $* in *shop*) MYSQL_PWD="$ROOT" {client} -e "SET GLOBAL sql_select_limit = DEFAULT"'
        " </dev/null ;; esac",
    )
    environment = {**rewriting.environment, "SEEN_BY_TOOL": str(reported), "ROOT": mariadb.PASSWORD}
    shop.sql("SET GLOBAL sql_select_limit = 1")
    try:
        state = dump(replace(rewriting, environment=environment), shop, "shop")
    finally:
        shop.sql("SET GLOBAL sql_select_limit = DEFAULT")
    assert state.state == State.DONE, state
    shown = shop.sql(
        f"SET GLOBAL sql_mode = @@sql_mode; {reported.read_text()};SELECT @@sql_select_limit"
    )
    assert shown == str(2**64 - 1)
