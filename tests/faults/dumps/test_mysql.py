"""MariaDB dumps against a real server: round trips, and what goes wrong in the middle."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.faults.dumps.harness import Container, Shell
from tests.support import mariadb
from tests.support.mariadb import Server

from backstay.api.dumps import Mysql
from backstay.dumps import ENGINES
from backstay.dumps.base import DumpState, DumpTask, State

MYSQL = ENGINES["mysql"]

NASTY = r"""
CREATE DATABASE `straße $(id);`;
USE `straße $(id);`;
CREATE TABLE `größe` (id int AUTO_INCREMENT PRIMARY KEY, t text, b varbinary(64), j json,
    d double, e enum('a','''b') NOT NULL DEFAULT 'a', bits bit(9), at timestamp(6) NULL,
    n int DEFAULT 7, twice int GENERATED ALWAYS AS (n * 2) STORED, half int AS (n / 2) VIRTUAL)
    DEFAULT CHARSET utf8mb4;
INSERT INTO `größe` (t, b, j, d, e, bits, at) VALUES
    ('a😀b', x'00ff0a0d1a27225c', '{"ü": [1, null]}', 1e308, '''b', b'101010101',
     '2024-02-29 23:59:59.123456'),
    ('line\nbreak\ttab \\ '' " `id` $(id)', NULL, NULL, -0.0, 'a', NULL, NULL);
CREATE TABLE parts (k int PRIMARY KEY, v text) PARTITION BY RANGE (k)
    (PARTITION low VALUES LESS THAN (10), PARTITION high VALUES LESS THAN MAXVALUE);
INSERT INTO parts SELECT seq, repeat('x', seq) FROM seq_1_to_500;
CREATE TABLE audit (n int, at datetime DEFAULT now());
CREATE SEQUENCE numbers START WITH 41 INCREMENT BY 3;
SELECT nextval(numbers);
CREATE VIEW v AS SELECT count(*) AS n FROM parts;
DELIMITER //
CREATE FUNCTION f(n int) RETURNS text DETERMINISTIC RETURN concat('f😀', n)//
CREATE PROCEDURE p() BEGIN INSERT INTO audit (n) VALUES (1); END//
CREATE TRIGGER tr AFTER INSERT ON parts FOR EACH ROW
    INSERT INTO audit (n, at) VALUES (new.k, '2024-01-01')//
CREATE EVENT ev ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01' DO CALL p()//
DELIMITER ;
"""
DATABASE = "straße $(id);"
SPEC = Mysql(databases=(DATABASE,))


@pytest.fixture(scope="session")
def shop(maria: Server) -> Server:
    maria.sql(NASTY)
    return maria


def inside(container: Container, server: Server) -> Container:
    return replace(container, environment=server.environment)


@pytest.fixture
def pod(container: Container, shop: Server) -> Container:
    # busybox is shell and tools there; the database's own come from the machine.
    programs = "" if "busybox" not in container.shell.argv[0] else "/usr/bin"
    return replace(inside(container, shop), programs=programs)


@pytest.fixture
def dash_pod(dash: Container, shop: Server) -> Container:
    return inside(dash, shop)


def dump(
    container: Container, server: Server, spec: Mysql = SPEC, task: DumpTask | None = None
) -> DumpState:
    here = spec.model_copy(update={"host": str(server.socket)})
    return container.run(MYSQL.start(task or container.task(), here))


def contents(server: Server, database: str) -> str:
    """All rows and definitions of a database, as text."""
    rows = """SELECT id, t, hex(b), j, d, e, bits + 0, at, twice, half FROM `größe`;
        SELECT sum(k), sum(length(v)) FROM parts; SELECT * FROM audit; SELECT * FROM v;
        SELECT f(7); SELECT next_not_cached_value FROM numbers;"""
    kinds = {
        "TABLE": ("größe", "parts", "audit", "v", "numbers"),
        "FUNCTION": ("f",),
        "PROCEDURE": ("p",),
        "TRIGGER": ("tr",),
        "EVENT": ("ev",),
    }
    shown = "".join(f"SHOW CREATE {k} `{name}`;" for k, names in kinds.items() for name in names)
    text = server.sql(rows + shown, database)
    # A trigger records when it was made.
    return re.sub(r"\t\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d\d$", "", text, flags=re.MULTILINE).replace(
        f"`{database}`.", ""
    )


def test_a_dump_restores_to_the_same_database(
    pod: Container, shop: Server, *, compress: bool
) -> None:
    pod = replace(pod, compress=compress)
    state = dump(pod, shop)
    assert (state.state, state.compressed) == (State.DONE, compress), state
    assert state.versions is not None
    assert state.versions["server"] == shop.sql("SELECT @@version")
    shop.sql("DROP DATABASE IF EXISTS copy; CREATE DATABASE copy")
    shop.sql(pod.content(state).decode(), "copy")
    assert contents(shop, "copy") == contents(shop, DATABASE)


def test_1000_tables_are_restored(dash_pod: Container, shop: Server) -> None:
    names = [f"many_{number}" for number in range(1000)]
    tables = "".join(
        f"CREATE TABLE {name} (id int PRIMARY KEY, t varchar(20) DEFAULT '{name}');"  # noqa: S608
        f"INSERT INTO {name} (id) VALUES ({len(name)});"
        for name in names
    )
    shop.sql(f"CREATE DATABASE many; USE many; {tables}")
    state = dump(dash_pod, shop, Mysql(databases=("many",)))
    assert state.state == State.DONE, state
    shop.sql("CREATE DATABASE many_copy")
    shop.sql(dash_pod.content(state).decode(), "many_copy")
    every = "".join(f"SHOW CREATE TABLE {name}; SELECT * FROM {name};" for name in names)  # noqa: S608
    assert shop.sql(every, "many_copy") == shop.sql(every, "many")
    shop.sql("DROP DATABASE many; DROP DATABASE many_copy")


def test_all_databases_users_and_rights_restore_into_an_empty_server(
    dash_pod: Container, shop: Server
) -> None:
    shop.sql("CREATE USER 'o''wner'@'%' IDENTIFIED BY 'p'; GRANT SELECT ON *.* TO 'o''wner'@'%'")
    state = dump(dash_pod, shop, Mysql())
    assert state.state == State.DONE, state
    text = dash_pod.content(state).decode(errors="surrogateescape")
    assert "USE `performance_schema`" not in text
    rights = "SHOW GRANTS FOR 'o''wner'@'%'"
    with mariadb.running() as empty:
        empty.sql(text)
        empty.sql("FLUSH PRIVILEGES")
        assert contents(empty, DATABASE) == contents(shop, DATABASE)
        assert empty.sql(rights) == shop.sql(rights)
    shop.sql("DROP USER 'o''wner'@'%'")


def test_mariadb_says_nothing_that_stays_of_who_it_is(dash_pod: Container, shop: Server) -> None:
    state = dump(dash_pod, shop)
    assert (state.state, state.server) == (State.DONE, None), state


def test_the_position_in_the_binary_log_is_on_record(dash_pod: Container, shop: Server) -> None:
    at = shop.sql("SHOW MASTER STATUS").split("\t")
    state = dump(dash_pod, shop)
    assert state.position is not None
    assert f"MASTER_LOG_FILE='{at[0]}', MASTER_LOG_POS={at[1]}" in state.position
    assert "SET GLOBAL gtid_slave_pos='0-1-" in state.position


# The text of MySQL 8.4's tool that the script looks for; the dump itself is mariadb-dump's.
MYSQLDUMP = """#!/bin/sh
case $* in
    --version) echo 'mysqldump  Ver 8.4.3 for Linux on x86_64 (MySQL Community Server - GPL)' ;;
    *--help*) echo '--init-command=name --source-data[=#] --set-gtid-purged[=name] ON, COMMENTED' ;;
    *--print-defaults*) exec /usr/bin/mariadb-dump --print-defaults ;;
    *)
        printf '%s\\n' "$@" >"$SEEN_BY_TOOL"
        for word in "$@"; do
            shift
            case $word in
                --init-command* | --source-data* | --set-gtid*) ;;
                *) set -- "$@" "$word" ;;
            esac
        done
        echo "-- CHANGE REPLICATION SOURCE TO SOURCE_LOG_FILE='binlog.2', SOURCE_LOG_POS=157;"
        exec /usr/bin/mariadb-dump "$@" ;;
esac
"""


def test_mysqldump_is_asked_for_the_position_only_with_a_limit_to_its_lock(
    shells: dict[str, Shell], folder: Path, shop: Server
) -> None:
    """A stand-in: there is no MySQL to test with."""
    tools = folder / "bin"
    tools.mkdir()
    (tools / "mysqldump").write_text(MYSQLDUMP)
    (tools / "mysqldump").chmod(0o755)
    (tools / "mysql").symlink_to("/usr/bin/mariadb")
    reported = folder / "reported"
    environment = {**shop.environment, "SEEN_BY_TOOL": str(reported)}
    pod = Container(shells["busybox"], folder, environment, str(tools))
    state = dump(pod, shop)
    assert state.state == State.DONE, state
    assert state.position == (
        "CHANGE REPLICATION SOURCE TO SOURCE_LOG_FILE='binlog.2', SOURCE_LOG_POS=157"
    )
    words = reported.read_text().splitlines()
    assert "--init-command=SET SESSION lock_wait_timeout=60" in words
    assert {"--source-data=2", "--set-gtid-purged=COMMENTED"} < set(words)
    assert not any(mariadb.PASSWORD in word for word in words)


def test_where_the_position_is_denied_the_dump_goes_without_it(
    dash_pod: Container, shop: Server
) -> None:
    tools = dash_pod.folder / "bin"
    tools.mkdir()
    (tools / "mariadb-dump").write_text(
        "#!/bin/sh\n"
        "case $* in *--master-data*)\n"
        "    echo 'Access denied; you need (at least one of) the BINLOG MONITOR privilege(s)' >&2\n"
        "    exit 2 ;;\n"
        "esac\n"
        'exec /usr/bin/mariadb-dump "$@"\n'
    )
    (tools / "mariadb-dump").chmod(0o755)
    state = dump(replace(dash_pod, programs=str(tools)), shop)
    assert (state.state, state.position) == (State.DONE, None), state


@pytest.mark.parametrize("name", ["it's $(id) `x`", "-x a", "ünï", 'a "b" \\'])
def test_a_database_name_is_data(dash_pod: Container, shop: Server, name: str) -> None:
    quoted = name.replace("`", "``")
    shop.sql(f"CREATE DATABASE `{quoted}`; CREATE TABLE `{quoted}`.marker (n int)")
    for databases in ((name,), (name, DATABASE)):
        state = dump(
            dash_pod, shop, Mysql(databases=databases), dash_pod.task(attempt=len(databases))
        )
        assert state.state == State.DONE, state
        assert b"CREATE TABLE `marker`" in dash_pod.content(state)
