"""Databases that are copied file by file are known by what is in their directories."""

from __future__ import annotations

import pytest

from backstay.agent.fs.listing import Listing
from backstay.agent.tree.engines import engines_in


def listing(*names: str) -> Listing:
    return Listing(sorted(name.encode() for name in names), [])


@pytest.mark.parametrize(
    ("names", "engine"),
    [
        (("PG_VERSION", "base", "global", "pg_wal"), "PostgreSQL"),
        (("ibdata1", "ib_logfile0", "mysql"), "MySQL or MariaDB"),
        (("WiredTiger", "WiredTiger.wt", "mongod.lock"), "MongoDB"),
        (("000005.ldb", "CURRENT", "LOCK", "MANIFEST-000004"), "LevelDB or RocksDB"),
        (("_0.cfs", "segments_1a", "write.lock"), "Lucene"),
        (("data.mdb", "lock.mdb"), "LMDB"),
        (("appendonlydir", "dump.rdb"), "Redis"),
    ],
)
def test_a_data_directory_is_named_with_its_engine(names: tuple[str, ...], engine: str) -> None:
    assert engines_in({b"srv/data": listing(*names)}) == [f"srv/data ({engine})".encode()]


@pytest.mark.parametrize(
    "names",
    [("PG_VERSION",), ("CURRENT",), ("MANIFEST-1.txt", "CURRENT"), ("segments_1",), ("xdata.mdb",)],
)
def test_what_only_has_some_such_name_is_none(names: tuple[str, ...]) -> None:
    assert engines_in({b"data": listing(*names)}) == []


def test_a_server_is_found_by_its_log_when_nothing_moved_above_it() -> None:
    assert engines_in({b"pg/pg_wal": listing("0001"), b"pg/base/1": listing("2")}) == [
        b"pg (PostgreSQL)"
    ]


def test_the_source_itself_may_be_one() -> None:
    assert engines_in({b"": listing(".", "ibdata1")}) == [b". (MySQL or MariaDB)"]
