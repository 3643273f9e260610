"""Dumps in a repository: how much of a dump restic stores again after a day, by how it is written.

A database of PostgreSQL and one of MariaDB, each of a table of orders, are dumped by the real
scripts, compressed and not, and by the tool into a compressor that is to keep equal parts equal
(`--rsyncable`): 500 MB as text. Each form has a repository of its own. Then a day passes, and each
is dumped and backed up again:

- a day: 2 % new orders, those of the day before changed, and 20 edits of any age;
- scattered: one of 100 orders changed, all over the table.

What a day adds is what restic says: bytes that it did not have, before it compresses them, over the
bytes of the file; and bytes that it wrote. Compressed files hardly become smaller in a repository.
BACKSTAY_BENCH_SCALE makes the databases smaller.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from tests.bench.dump import SHELL
from tests.bench.figure import Figure
from tests.bench.restic import Bare
from tests.faults.dumps.harness import Container
from tests.support import mariadb, postgres

from backstay.api.dumps import EngineSpec, Mysql, Postgres, PostgresFormat
from backstay.dumps import ENGINES
from backstay.dumps.base import State

SCALE = float(os.environ.get("BACKSTAY_BENCH_SCALE", "1"))
ROWS = int(2_000_000 * SCALE)
LEAST = 500_000_000 * SCALE
"""Bytes of the dump as text."""
GOAL = 20  # percent of the file
ROOM = 6 * 1024**3
RSYNCABLE = {"gzip": "gzip -1 --rsyncable", "zstd": "zstd -1 -q -T1 --rsyncable"}

_POSTGRES_ORDERS = """
SELECT g AS id, md5(g::text) AS hash,
    format('%s ordered %s pieces of article %s; to be sent to %s street %s, %s, before the %s',
        initcap(substr(md5((g * 7)::text), 1, 6)), g % 17, g % 9973,
        initcap(substr(md5((g % 20011)::text), 1, 8)), g % 211,
        initcap(substr(md5((g % 401)::text), 1, 7)), date '2024-01-01' + (g % 900)) AS body,
    jsonb_build_object('key', g, 'state', g % 5, 'etag', substr(md5((g * 3)::text), 1, 16),
        'tags', ARRAY['a' || g % 31, 'b' || g % 7], 'price', (g * 37 % 100000) / 100.0) AS facts"""
_MARIA_ORDERS = """
SELECT seq AS id, md5(seq) AS hash,
    concat(substr(md5(seq * 7), 1, 6), ' ordered ', seq % 17, ' pieces of article ', seq % 9973,
        '; to be sent to ', substr(md5(seq % 20011), 1, 8), ' street ', seq % 211, ', ',
        substr(md5(seq % 401), 1, 7), ', before the ',
        date '2024-01-01' + interval seq % 900 day) AS body,
    json_object('key', seq, 'state', seq % 5, 'etag', substr(md5(seq * 3), 1, 16),
        'tags', json_array(concat('a', seq % 31), concat('b', seq % 7)),
        'price', seq * 37 % 100000 / 100) AS facts"""
POSTGRES = {
    "first": """CREATE TABLE orders AS $orders FROM generate_series(1, $rows) g;
ALTER TABLE orders ADD PRIMARY KEY (id); VACUUM ANALYZE orders; CHECKPOINT;""",
    "a day": """INSERT INTO orders $orders FROM generate_series($rows + 1, $all) g;
UPDATE orders SET body = body || '; paid' WHERE id BETWEEN $old AND $rows;
UPDATE orders SET body = body || '; returned' WHERE id % ($rows / 20) = 7; VACUUM orders;""",
    "scattered": "UPDATE orders SET body = body || '; seen' WHERE id % 100 = 3; VACUUM orders;",
}
MARIA = {
    "first": """SET sql_log_bin = 0;
CREATE TABLE orders (id int PRIMARY KEY, hash char(32), body text, facts longtext)
    DEFAULT CHARSET utf8mb4 AS $orders FROM seq_1_to_$rows;""",
    "a day": """SET sql_log_bin = 0;
INSERT INTO orders $orders FROM seq_1_to_$all WHERE seq > $rows;
UPDATE orders SET body = concat(body, '; paid') WHERE id BETWEEN $old AND $rows;
UPDATE orders SET body = concat(body, '; returned') WHERE id % ($rows DIV 20) = 7;""",
    "scattered": """SET sql_log_bin = 0;
UPDATE orders SET body = concat(body, '; seen') WHERE id % 100 = 3;""",
}


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write a dump, which writes it into a directory."""

    name: str
    write: Callable[[Path], int]
    """Returns the bytes of the file."""
    goal: int | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """What one dump took, as a file and in the repository."""

    file: int
    new: int
    """Bytes that the repository did not have."""
    written: int
    dumping: float
    """Seconds of processor, of the tool and all beside it but the server."""
    storing: float


def measure() -> list[Figure]:
    """Return what a day adds by engine and form; takes some minutes and 10 GB of the temporary
    folder.
    """
    return [*_postgres(), *_mariadb()]


def _postgres() -> Iterator[Figure]:
    with postgres.running(room=ROOM) as server:
        server.sql("CREATE DATABASE shop")
        environment, programs = server.environment, str(server.bin)

        def ours(format: PostgresFormat, *, compress: bool) -> Callable[[Path], int]:
            spec = Postgres(databases=("shop",), format=format)
            return _ours("postgres", spec, environment, programs, compress=compress)

        forms = []
        for format in PostgresFormat:
            name = f"postgres {format}"
            forms.append(Form(f"{name} compressed", ours(format, compress=True)))
            forms.append(Form(f"{name} uncompressed", ours(format, compress=False), GOAL))
        tool = [str(server.bin / "pg_dump"), "shop"]
        forms += _rsyncable("postgres plain", tool, environment)
        yield from _days(forms, _filled(POSTGRES, _POSTGRES_ORDERS), server.sql)


def _mariadb() -> Iterator[Figure]:
    with mariadb.running(room=ROOM) as server:
        server.sql("CREATE DATABASE shop")
        environment = server.environment
        spec = Mysql(databases=("shop",), host=str(server.socket))
        login = (f"--socket={server.socket}", "--user=root", "--single-transaction")
        tool = ["mariadb-dump", "--no-defaults", *login, "shop"]
        forms = [
            Form("mysql compressed", _ours("mysql", spec, environment, compress=True)),
            Form("mysql uncompressed", _ours("mysql", spec, environment, compress=False), GOAL),
            *_rsyncable("mysql", tool, {**environment, "MYSQL_PWD": mariadb.PASSWORD}),
        ]
        yield from _days(forms, _filled(MARIA, _MARIA_ORDERS), server.sql)


def _filled(days: Mapping[str, str], orders: str) -> dict[str, str]:
    new = ROWS // 50
    values = {"orders": orders, "rows": ROWS, "all": ROWS + new, "old": ROWS - new}
    return {day: Template(text).substitute(values) for day, text in days.items()}


def _ours(
    engine: str,
    spec: EngineSpec,
    environment: Mapping[str, str],
    programs: str = "",
    *,
    compress: bool,
) -> Callable[[Path], int]:
    def write(folder: Path) -> int:
        container = Container(SHELL, folder, environment, programs, 900, compress)
        run = str(len(list(folder.parent.glob("day*"))))
        state = container.run(ENGINES[engine].start(container.task(run, seconds=900), spec))
        if state.state is not State.DONE or state.bytes is None:
            raise RuntimeError(f"{engine}: {state}")
        (folder.parent / f"day{run}").touch()
        return state.bytes

    return write


def _rsyncable(name: str, tool: Sequence[str], environment: Mapping[str, str]) -> Iterator[Form]:
    def into(compressor: str) -> Callable[[Path], int]:
        def write(folder: Path) -> int:
            file = folder / "shop.dump"
            command = ["bash", "-o", "pipefail", "-c", f'"$@" | {compressor} >"$0"', str(file)]
            subprocess.run([*command, *tool], env={**os.environ, **environment}, check=True)
            return file.stat().st_size

        return write

    for short, compressor in RSYNCABLE.items():
        yield Form(f"{name} {short} rsyncable", into(compressor))


def _days(
    forms: Sequence[Form], days: Mapping[str, str], sql: Callable[[str, str], str]
) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="backstay-bench-") as name:
        folder = Path(name)
        first: dict[str, Taken] = {}
        for day, text in days.items():
            sql(text, "shop")
            for form in forms:
                taken = _taken(folder / form.name.replace(" ", "-"), form)
                _say(f"{form.name}, {day}: {taken}")
                if day == "first":
                    first[form.name] = taken
                    continue
                yield from _figures(form, day, first[form.name], taken)
        plain = max(taken.file for taken in first.values())
        if plain < LEAST:
            raise RuntimeError(f"the dump has {plain} bytes, {LEAST:.0f} are wanted")


def _taken(folder: Path, form: Form) -> Taken:
    bare = Bare(folder)
    data = folder / "data"
    if not data.exists():
        data.mkdir(parents=True)
        bare("init")
    before = _children()
    size = form.write(data)
    dumping = _children() - before
    cost, summary = bare.backup(data)
    return Taken(
        size,
        int(summary["data_added"]),
        int(summary["data_added_packed"]),
        dumping,
        cost.cpu,
    )


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _figures(form: Form, day: str, first: Taken, taken: Taken) -> Iterator[Figure]:
    share = 100 * taken.new / taken.file
    goal = form.goal if day == "a day" else None
    amounts = f"file {first.file / 1e6:.0f} MB, first {first.written / 1e6:.0f} MB written"
    cpu = f"CPU s first: dump {first.dumping:.1f}, restic {first.storing:.1f}; "
    cpu += f"then {taken.dumping:.1f}, {taken.storing:.1f}"
    yield Figure(
        f"{form.name}: {day}",
        share,
        "% new",
        f"<= {goal}" if goal else "-",
        goal is None or share <= goal,
        f"new bytes over the file's; {amounts}; {cpu}",
    )
    yield Figure(f"{form.name}: {day}", taken.written / 1e6, "MB", "-", True, amounts)


def _say(what: str) -> None:
    sys.stderr.write(f"repository-dumps: {what}\n")
