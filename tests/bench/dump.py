"""Dumps: what the real scripts cost, over the tool alone that writes to /dev/null.

Three databases of at least 800 MB in servers of this machine, their data in memory: pgbench's rows,
which hardly differ; mixed text, hashes and JSON in PostgreSQL; the same in MariaDB. For each, three
rounds of the tool to /dev/null, our script (lock, compression, reading back, sha256, flush to the
disk and all), and backup-ns's way, `| gzip`; a figure is the median of one way over the median of
the tool alone. One warming run goes before.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.figure import Figure
from tests.faults.dumps.harness import Container, Shell
from tests.support import mariadb, postgres

from backstay.api.dumps import EngineSpec, Mysql, Postgres
from backstay.dumps import ENGINES
from backstay.dumps.base import State

ROUNDS = 3
LEAST = 800 * 1000 * 1000
ROOM = 6 * 1024**3
SHELL = Shell(("dash",), "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
METHOD = f"median of {ROUNDS} interleaved runs over the median of the tool to /dev/null"

MIXED = """
CREATE TABLE mixed AS SELECT g AS id, md5(g::text) AS hash,
    format('%s ordered %s pieces of article %s; to be sent to %s street %s, %s, before the %s',
        initcap(substr(md5((g * 7)::text), 1, 6)), g % 17, g % 9973,
        initcap(substr(md5((g % 20011)::text), 1, 8)), g % 211,
        initcap(substr(md5((g % 401)::text), 1, 7)), date '2024-01-01' + (g % 900)) AS body,
    jsonb_build_object('key', g, 'state', g % 5, 'etag', substr(md5((g * 3)::text), 1, 16),
        'tags', ARRAY['a' || g % 31, 'b' || g % 7], 'price', (g * 37 % 100000) / 100.0) AS facts
    FROM generate_series(1, 2000000) g;
ALTER TABLE mixed ADD PRIMARY KEY (id);
CREATE INDEX ON mixed (hash);
VACUUM ANALYZE mixed;
CHECKPOINT;
"""
MARIA = """
SET sql_log_bin = 0;
CREATE DATABASE mixed;
USE mixed;
CREATE TABLE mixed (id int PRIMARY KEY, hash char(32), body text, facts longtext)
    DEFAULT CHARSET utf8mb4;
INSERT INTO mixed SELECT seq, md5(seq),
    concat(substr(md5(seq * 7), 1, 6), ' ordered ', seq % 17, ' pieces of article ', seq % 9973,
        '; to be sent to ', substr(md5(seq % 20011), 1, 8), ' street ', seq % 211, ', ',
        substr(md5(seq % 401), 1, 7), ', before the ', date '2024-01-01' + interval seq % 900 day),
    json_object('key', seq, 'state', seq % 5, 'etag', substr(md5(seq * 3), 1, 16),
        'tags', json_array(concat('a', seq % 31), concat('b', seq % 7)),
        'price', seq * 37 % 100000 / 100)
    FROM seq_1_to_3200000;
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One database, and how it is dumped: by the tool alone and by our script."""

    name: str
    tool: Sequence[str]
    engine: str
    spec: EngineSpec
    goal: float
    environment: Mapping[str, str]
    programs: str = ""


@dataclass(slots=True)
class Timings:
    """Seconds of each round, and the size of the last file."""

    seconds: list[float] = field(default_factory=list)
    bytes: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def measure() -> list[Figure]:
    """Return the ratios for PostgreSQL and MariaDB."""
    return [*_postgres(), *_mariadb()]


def _postgres() -> Iterator[Figure]:
    with postgres.running(room=ROOM) as server:
        for name, goal in (("compressible", 1.15), ("mixed", 1.45)):
            server.sql(f"CREATE DATABASE {name}")
            if name == "mixed":
                server.sql(MIXED, name)
            else:
                _run([str(server.bin / "pgbench"), "-iq", "-s", "75", name], server.environment)
                server.sql("CHECKPOINT", name)
            _require(int(server.sql(f"SELECT pg_database_size('{name}')")))
            case = Case(
                f"dump postgres {name}",
                (str(server.bin / "pg_dump"), name),
                "postgres",
                Postgres(databases=(name,)),
                goal,
                server.environment,
                str(server.bin),
            )
            yield from _case(case)
            server.sql(f"DROP DATABASE {name}")


def _mariadb() -> Iterator[Figure]:
    with mariadb.running(room=ROOM) as server:
        server.sql(MARIA)
        size = "SELECT sum(data_length) FROM information_schema.tables WHERE table_schema = 'mixed'"
        server.sql("ANALYZE TABLE mixed.mixed")
        _require(int(server.sql(size)))
        login = (f"--socket={server.socket}", "--user=root", "--single-transaction")
        case = Case(
            "dump mariadb mixed",
            ("mariadb-dump", "--no-defaults", *login, "mixed"),
            "mysql",
            Mysql(databases=("mixed",), host=str(server.socket)),
            1.5,
            {**server.environment, "MYSQL_PWD": mariadb.PASSWORD},
        )
        yield from _case(case)


def _case(case: Case) -> Iterator[Figure]:
    alone, ours, piped = Timings(), Timings(), Timings()
    _alone(case, Timings())
    for _ in range(ROUNDS):
        _alone(case, alone)
        with _folder() as folder:
            _ours(case, ours, folder)
        with _folder() as folder:
            _piped(case, piped, folder)
    ratio = ours.median / alone.median
    note = f"{METHOD} ({alone.median:.2f} s); {ours.bytes / 1e6:.0f} MB"
    yield Figure(case.name, ratio, "x", f"<= {case.goal}", ratio <= case.goal, note)
    gzip = piped.median / alone.median
    note = f"{METHOD}; {piped.bytes / 1e6:.0f} MB"
    yield Figure(f"{case.name} | gzip", gzip, "x", "-", True, note)
    size = ours.bytes / piped.bytes
    yield Figure(f"{case.name} size", size, "x gzip", "-", True, "bytes of our file over gzip's")


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder on a disk: flushing is part of the price."""
    path = Path(tempfile.mkdtemp(prefix="backstay-bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def _alone(case: Case, timings: Timings) -> None:
    began = time.monotonic()
    with Path(os.devnull).open("wb") as nothing:
        subprocess.run(
            case.tool, env={**os.environ, **case.environment}, stdout=nothing, check=True
        )
    timings.seconds.append(time.monotonic() - began)


def _ours(case: Case, timings: Timings, folder: Path) -> None:
    container = Container(SHELL, folder, case.environment, case.programs, patience=600)
    began = time.monotonic()
    start = ENGINES[case.engine].start(container.task(seconds=600), case.spec)
    state = container.run(start)
    timings.seconds.append(time.monotonic() - began)
    if state.state is not State.DONE or state.bytes is None:
        raise RuntimeError(f"{case.name}: {state}")
    timings.bytes = state.bytes


def _piped(case: Case, timings: Timings, folder: Path) -> None:
    file = folder / "dump.sql.gz"
    began = time.monotonic()
    text = '"$@" | gzip -c >"$0"'
    _run(["bash", "-o", "pipefail", "-c", text, str(file), *case.tool], case.environment)
    timings.seconds.append(time.monotonic() - began)
    timings.bytes = file.stat().st_size


def _run(argv: Sequence[str], environment: Mapping[str, str]) -> None:
    subprocess.run(argv, env={**os.environ, **environment}, check=True, capture_output=True)


def _require(size: int) -> None:
    if size < LEAST:
        raise RuntimeError(f"the database has {size} bytes, {LEAST} are wanted")
