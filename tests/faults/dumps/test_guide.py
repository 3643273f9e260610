"""How to restore a dump by hand: the commands of docs/how-to/dumps.md, run as they stand.

Those of MariaDB, Redis and SQLite, and odd and large data, are in test_round_trips.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.faults.dumps.harness import Container
from tests.support import postgres
from tests.support.guides import Guide

from backstay.api.dumps import EngineSpec, Postgres, PostgresFormat
from backstay.dumps import ENGINES
from backstay.dumps.base import State

Restoring = Callable[..., None]


@pytest.fixture
def restoring(folder: Path) -> Restoring:
    """Runs the block with a text, after the block that says what `unpack` is."""
    guide = Guide("dumps.md", Path(os.devnull), folder)
    (folder / "unpack").write_text(guide.text("unpack() {"))

    def run(mark: str, changes: Mapping[str, str] | None = None, **environment: str) -> None:
        # Every bash that has no terminal reads this first.
        guide.run(mark, changes or {}, BASH_ENV=str(folder / "unpack"), **environment)

    return run


def dump(pod: Container, name: str, engine: str, spec: EngineSpec) -> None:
    task = replace(pod.task(), file=str(pod.folder / name))
    state = pod.run(ENGINES[engine].start(task, spec))
    assert state.state == State.DONE, state


@pytest.mark.parametrize(
    ("file", "format"),
    [("shop.dump", PostgresFormat.CUSTOM), ("shop.sql", PostgresFormat.PLAIN)],
)
def test_one_database_of_postgres(
    server: postgres.Server,
    restoring: Restoring,
    container: Container,
    file: str,
    format: PostgresFormat,
) -> None:
    """Compressed by zstd, or by gzip where busybox is all there is."""
    server.sql("CREATE DATABASE by_hand")
    server.sql("CREATE TABLE t AS SELECT g, 'ü😀' || g FROM generate_series(1, 1000) g", "by_hand")
    pod = replace(container, environment=server.environment, programs=str(server.bin))
    dump(pod, file, "postgres", Postgres(databases=("by_hand",), format=format))
    server.sql("CREATE DATABASE shop_copy")
    restoring(f"unpack {file} | p", **postgres_tools(server))
    assert server.contents("shop_copy") == server.contents("by_hand")
    server.sql("DROP DATABASE shop_copy")
    server.sql("DROP DATABASE by_hand")


def postgres_tools(server: postgres.Server) -> dict[str, str]:
    return {**server.environment, "PATH": f"{server.bin}:{os.environ['PATH']}"}


def test_all_of_a_postgres_server(dash: Container, restoring: Restoring) -> None:
    with postgres.running() as server, postgres.running() as empty:
        server.sql("CREATE DATABASE shop")
        server.sql("CREATE TABLE t AS SELECT 'ü😀' AS t", "shop")
        pod = replace(dash, environment=server.environment, programs=str(server.bin))
        dump(pod, "all.sql", "postgres", Postgres())
        restoring("unpack all.sql | psql", **postgres_tools(empty))
        assert empty.contents("shop", "--create") == server.contents("shop", "--create")
