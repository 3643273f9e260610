"""Round trips as in the guide: its user, its commands, odd and large data, and an option
file with surprises. What is there before and after is compared by the tools' own dumps of both.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest
from tests.faults.dumps.harness import Container
from tests.support import mariadb, mongo, postgres, redis
from tests.support.guides import Guide
from tests.support.waiting import eventually

from backstay.api.dumps import EngineSpec, Mongodb, Mysql, Postgres, Redis, Sqlite
from backstay.api.server import PasswordSource
from backstay.dumps import ENGINES
from backstay.dumps.base import DumpState, State

LARGE = 9 * 1024 * 1024
SECRET = PasswordSource(env="SECRET")
WITH_SECRET = {"SECRET": "secret"}  # as the guide's users have it


@pytest.fixture
def guide(folder: Path) -> Guide:
    found = Guide("dumps.md", Path(os.devnull), folder)
    (folder / "unpack").write_text(found.text("unpack() {"))
    return found


def dump(pod: Container, name: str, engine: str, spec: EngineSpec) -> DumpState:
    task = replace(pod.task(), file=str(pod.folder / name))
    state = pod.run(ENGINES[engine].start(task, spec))
    assert state.state == State.DONE, state
    return state


MARIA = """
CREATE TABLE orders (id int AUTO_INCREMENT PRIMARY KEY, d longblob, t longtext, b binary(4),
    n bit(9), twice int AS (n * 2) STORED, half int AS (n / 2), hidden int INVISIBLE DEFAULT 3,
    g point, j json) CHARSET utf8mb4;
INSERT INTO orders (t, b, n, g, j) VALUES
    ('a😀''"\\\\ \\0 \\n', x'00ff1a27', b'101', point(1, 2), '{"ü": 1}');
INSERT INTO orders (id) VALUES (DEFAULT);
INSERT INTO orders (d, t) VALUES (repeat(x'ff00', @large / 2), repeat('"', @large));
CREATE TABLE prices (id int PRIMARY KEY, v int) WITH SYSTEM VERSIONING;
INSERT INTO prices VALUES (1, 1); UPDATE prices SET v = 2; DELETE FROM prices;
CREATE TABLE parts (k int PRIMARY KEY) PARTITION BY HASH (k) PARTITIONS 3;
INSERT INTO parts SELECT seq FROM seq_1_to_1000;
CREATE VIEW v AS SELECT count(*) n FROM parts;
CREATE SEQUENCE numbers START WITH 41; SELECT nextval(numbers);
CREATE TRIGGER tr BEFORE INSERT ON parts FOR EACH ROW SET new.k = new.k + 1;
CREATE EVENT ev ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01' DISABLE DO SELECT 1;
CREATE PROCEDURE `p``q`() SELECT 'ü';
CREATE FUNCTION f() RETURNS int DETERMINISTIC RETURN 7;
SET sql_mode = ORACLE;
DELIMITER //
CREATE PACKAGE pk AS FUNCTION one RETURN int; END//
CREATE PACKAGE BODY pk AS FUNCTION one RETURN int AS BEGIN RETURN 1; END; END//
"""
SURPRISES = """
[mysqldump]
no-data
skip-triggers
ignore-table = shop.parts
where = 0
[client]
database = mysql
"""


def maria_contents(server: mariadb.Server, database: str) -> list[str]:
    """All that the tool knows of a database, with history, without what is made by chance."""
    options = ("--routines", "--events", "--triggers", "--dump-history", "--hex-blob")
    argv = ["mariadb-dump", "--no-defaults", f"--socket={server.socket}", "--user=root", *options]
    environment = {**os.environ, "MYSQL_PWD": mariadb.PASSWORD}
    done = subprocess.run(
        [*argv, "--max-allowed-packet=1G", "--skip-dump-date", database],
        env=environment,
        capture_output=True,
        check=True,
    )
    lines = done.stdout.decode().splitlines()
    named = ("-- Host: ", "-- Dumping events for ", "-- Dumping routines for ")
    return [line for line in lines if not line.startswith(named)]


def test_mariadb_by_the_guides_user_and_commands(
    maria: mariadb.Server, dash: Container, guide: Guide, tmp_path: Path, *, compress: bool
) -> None:
    maria.sql("CREATE OR REPLACE DATABASE shop; CREATE OR REPLACE DATABASE shop_copy")
    maria.sql(f"SET @large = {LARGE}; {MARIA}", "shop")
    maria.sql(guide.text("CREATE USER backup@localhost", "sql"))
    (tmp_path / ".my.cnf").write_text(f"[client]\nsocket = {maria.socket}\n{SURPRISES}")
    packet = maria.sql("SELECT @@global.max_allowed_packet")
    try:
        environment = {**WITH_SECRET, "HOME": str(tmp_path)}
        pod = replace(dash, environment=environment, compress=compress)
        spec = Mysql(databases=("shop",), user="backup", password=SECRET)
        state = dump(pod, "shop.sql", "mysql", spec)
        assert state.notes == (
            "not used, though option files of the container have it: "
            "no-data, skip-triggers, ignore-table, where, database",
        )
        (tmp_path / ".my.cnf").write_text(f"[client]\nuser = root\nsocket = {maria.socket}\n")
        unpack = str(dash.folder / "unpack")
        environment = {"HOME": str(tmp_path), "MYSQL_PWD": mariadb.PASSWORD, "BASH_ENV": unpack}
        guide.run("utf8mb4 shop_copy", {}, **environment)
        assert maria_contents(maria, "shop_copy") == maria_contents(maria, "shop")
    finally:
        maria.sql(f"SET GLOBAL max_allowed_packet = {packet}; FLUSH BINARY LOGS")
        maria.sql("DROP USER backup@localhost; DROP DATABASE shop; DROP DATABASE shop_copy")


def test_all_of_a_mariadb_server_by_the_guide(
    maria: mariadb.Server, dash: Container, guide: Guide, tmp_path: Path, *, compress: bool
) -> None:
    maria.sql("CREATE OR REPLACE DATABASE shop; CREATE USER app@'%' IDENTIFIED BY 'x'")
    maria.sql("CREATE ROLE sellers; GRANT SELECT ON shop.* TO sellers; GRANT sellers TO app@'%'")
    maria.sql("CREATE TABLE t (n int); INSERT INTO t VALUES (1)", "shop")
    try:
        pod = replace(dash, environment=maria.environment, compress=compress)
        dump(pod, "all.sql", "mysql", Mysql(host=str(maria.socket)))
        with mariadb.running() as empty:
            text = f"[client]\nuser = root\nsocket = {empty.socket}\n"
            (tmp_path / ".my.cnf").write_text(text)
            unpack = str(dash.folder / "unpack")
            environment = {"HOME": str(tmp_path), "MYSQL_PWD": mariadb.PASSWORD, "BASH_ENV": unpack}
            guide.run("unpack all.sql | mariadb", {}, **environment)
            assert maria_contents(empty, "shop") == maria_contents(maria, "shop")
            for account in ("app@'%'", "sellers"):
                shown = f"SHOW GRANTS FOR {account}"
                assert empty.sql(shown) == maria.sql(shown)
    finally:
        maria.sql("DROP USER app@'%'; DROP ROLE sellers; DROP DATABASE shop")


POSTGRES = r"""
CREATE TABLE orders (id serial PRIMARY KEY, d bytea, t text, n int GENERATED ALWAYS AS IDENTITY);
INSERT INTO orders (d, t) VALUES (NULL, E'a😀''"\\ \n\t'), ('\x00ff', NULL);
INSERT INTO orders (d, t) SELECT convert_to(repeat('x', :large), 'UTF8'), repeat(E'\\', :large);
CREATE TABLE parts (k int) PARTITION BY RANGE (k);
CREATE TABLE low PARTITION OF parts FOR VALUES FROM (1) TO (900);
INSERT INTO parts SELECT generate_series(1, 500);
CREATE VIEW v AS SELECT count(*) FROM parts;
CREATE MATERIALIZED VIEW m AS SELECT k FROM parts;
CREATE MATERIALIZED VIEW empty AS SELECT k FROM parts WITH NO DATA;
CREATE UNLOGGED TABLE sessions AS SELECT generate_series(1, 500) a;
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1';
CREATE TRIGGER tr BEFORE INSERT ON parts FOR EACH ROW EXECUTE FUNCTION f();
CREATE TYPE state AS ENUM ('new', 'it''s');
CREATE SEQUENCE numbers START 41; SELECT nextval('numbers');
GRANT SELECT ON orders TO sellers; GRANT EXECUTE ON PROCEDURE p TO sellers;
ALTER TABLE low ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON low USING (k < 3);
SELECT lo_from_bytea(4711, decode(repeat('ff', 9 * 1024 * 1024), 'hex'));
"""


@pytest.mark.parametrize(("file", "format"), [("shop.dump", "custom"), ("shop.sql", "plain")])
def test_postgres_by_the_guides_user_and_commands(
    server: postgres.Server,
    dash: Container,
    guide: Guide,
    file: str,
    format: str,
    *,
    compress: bool,
) -> None:
    server.sql("CREATE ROLE sellers")
    server.sql("CREATE DATABASE round_trip")
    server.sql("CREATE DATABASE shop_copy")
    server.sql(POSTGRES.replace(":large", str(LARGE)), "round_trip")
    server.sql(guide.text("CREATE ROLE backup", "sql"), "round_trip")
    try:
        surprises = {"PGOPTIONS": "-c role=sellers", "PGCLIENTENCODING": "LATIN1"}
        environment = {**server.environment, **WITH_SECRET, **surprises}
        pod = replace(dash, programs=str(server.bin), environment=environment, compress=compress)
        spec = {"databases": ("round_trip",), "format": format, "user": "backup"}
        state = dump(pod, file, "postgres", Postgres.model_validate({**spec, "password": SECRET}))
        assert [note.rpartition(": ")[2] for note in state.notes] == sorted(surprises, reverse=True)
        tools = {**server.environment, "PATH": f"{server.bin}:{os.environ['PATH']}"}
        guide.run(f"unpack {file} | p", {}, BASH_ENV=str(dash.folder / "unpack"), **tools)
        assert server.contents("shop_copy") == server.contents("round_trip")
    finally:
        server.sql("DROP DATABASE shop_copy")
        server.sql("DROP DATABASE round_trip")
        server.sql("DROP OWNED BY backup; DROP ROLE backup; DROP ROLE sellers")


def test_redis_by_the_guide(dash: Container, guide: Guide) -> None:
    data = dash.folder / "var"  # not "data", which is replaced
    data.mkdir()
    with redis.running() as server:
        server.ask("SETRANGE", "a\nü", str(LARGE), b"\xff")
        server.ask("FUNCTION", "LOAD", "#!lua name=l\nredis.register_function('f', function() end)")
        pod = replace(dash, environment={"REDIS_PASSWORD": redis.PASSWORD})
        state = dump(pod, "cache.rdb", "redis", Redis(host=str(server.socket)))
        assert state.notes == ()
        wanted = [server.ask(*words) for words in (("DEBUG", "DIGEST"), ("FUNCTION", "LIST"))]
    copy = redis.Server(data)
    started = f"redis-server --daemonize yes --port 0 --unixsocket {copy.socket} --save ''"
    guide.run("cp cache.rdb /data/dump.rdb", {"redis-server": started, "/data": str(data)})
    try:
        eventually(copy.socket.exists, "Redis's socket")
        found = [copy.ask(*words) for words in (("DEBUG", "DIGEST"), ("FUNCTION", "LIST"))]
    finally:
        subprocess.run(["redis-cli", "-s", copy.socket, "shutdown", "nosave"], check=True)
    assert found == wanted


def test_sqlite_by_the_guide(dash: Container, guide: Guide) -> None:
    source, later = dash.folder / "app.db", "DROP TABLE large; CREATE TABLE late (n int);"

    def sqlite(sql: str) -> str:
        argv = ["sqlite3", "-init", os.devnull, str(source), sql]
        return subprocess.run(argv, capture_output=True, check=True, text=True).stdout

    sqlite("PRAGMA journal_mode = wal; CREATE TABLE large AS SELECT zeroblob(9 << 20) d, 'ü' t")
    before = sqlite(".dump")
    dump(dash, "app.dump", "sqlite", Sqlite(database=str(source)))
    sqlite(later)
    # As an application that was killed leaves them.
    for suffix in ("-wal", "-shm"):
        source.with_name(source.name + suffix).write_bytes(b"\x37\x7f\x06\x82" + b"x" * 4096)
    assert guide.run("rm -f app.db-wal", {}).strip() == "ok"
    assert sqlite(".dump") == before


def test_mongodb_by_the_guide(dash: Container, guide: Guide, *, compress: bool) -> None:
    """FerretDB in the place of MongoDB: no users, no views, no oplog to replay, and of indexes only
    the one of every collection, as it refuses what mongorestore says of others.
    """
    index = [{"v": 2, "key": {"_id": 1}, "name": "_id_"}]
    odd = [{"_id": n, "a": n, "b": "a😀b 'x' $(id)", "l": [None, {"ü": n}]} for n in range(500)]
    large = [{"_id": n, "a": n, "b": "ü'\\" * (LARGE // 4)} for n in range(2)]
    with mongo.running() as server, mongo.running() as copy:
        server.create("shop", "capped", index, {"capped": True, "size": 1 << 20, "max": 9})
        server.create("other", "empty", index, {})
        server.insert("shop", "größe", odd)
        server.insert("other", "large", large)
        # What mongodump does not read, and must not be led away by.
        surprises = {"HOME": str(dash.folder), "MONGODUMP_OPTS": "--db=other"}
        (dash.folder / ".mongorc.js").write_text("quit(1)")
        (dash.folder / ".mongodump.yaml").write_text("password: surprise\n")
        programs = str(mongo.tools()["mongodump"].parent)
        pod = replace(dash, programs=programs, environment=surprises, compress=compress)
        dump(pod, "shop.archive", "mongodb", Mongodb(host="127.0.0.1", port=server.port))
        here = {"mongorestore": f"mongorestore --port={copy.port}"}
        path = f"{mongo.tools()['mongorestore'].parent}:{os.environ['PATH']}"
        guide.run("# no position", here, PATH=path, BASH_ENV=str(dash.folder / "unpack"))
        wanted = server.contents()
        named = {unquote(name) for name in wanted}
        assert named == {"shop/größe", "shop/capped", "other/empty", "other/large"}
        assert wanted["shop/capped"][1]["options"]["capped"] is True
        assert copy.contents() == wanted
