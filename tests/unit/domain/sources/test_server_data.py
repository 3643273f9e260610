"""Where a database keeps its data, against what the claims of a run hold of it."""

from __future__ import annotations

import pytest

from backstay.domain.sources.mounts import Lies, Mount
from backstay.domain.sources.server_data import DataDirectory, data_trouble

MOUNTS = (
    Mount("/data", "data", "v"),
    Mount("/wal", "wal", "w"),
    Mount("/tmp", "", "scratch"),
    Mount("/config", "config", "c", read_only=True),
)
POINTS = ("/data", "/wal", "/tmp", "/config")
ONE_CLAIM = (MOUNTS[0], MOUNTS[2], MOUNTS[3])
DATA = DataDirectory("data_directory", "/data/pg", Lies("/data/pg", "/data"))
WAL_IN = DataDirectory("pg_wal", "/data/pg/pg_wal", Lies("/data/pg/pg_wal", "/data"))
WAL_OUT = DataDirectory("pg_wal", "/data/pg/pg_wal", Lies("/wal/pg_wal", "/wal"))
WAL_LOST = DataDirectory("pg_wal", "/data/pg/pg_wal", Lies("/tmp/pg_wal", "/tmp"))
UNSEEN = DataDirectory("data_directory", "/data/pg", Lies())


@pytest.mark.parametrize(
    ("data", "claims", "frozen"),
    [
        ((DATA, WAL_IN), ("data",), ()),
        ((DATA, WAL_IN), ("data", "wal"), ()),  # the other one has the dump, or whatever
        ((DATA, WAL_OUT), ("data", "wal"), (("data", "wal"),)),
        ((DATA, WAL_OUT), ("data", "wal"), (("data", "more", "wal"),)),
        ((DATA, WAL_OUT), ("dumps",), ()),  # no part of it: the dump is all there is
        ((DATA, WAL_LOST), ("dumps",), ()),
        (None, ("dumps",), ()),
        (None, ("data", "wal"), (("data", "wal"),)),
    ],
)
def test_data_that_is_wholly_or_not_at_all_on_what_is_taken_at_one_moment_is_fine(
    data: tuple[DataDirectory, ...] | None,
    claims: tuple[str, ...],
    frozen: tuple[tuple[str, ...], ...],
) -> None:
    assert data_trouble(data, MOUNTS, POINTS, claims, frozen) == ""


@pytest.mark.parametrize(
    ("data", "claims", "frozen", "words"),
    [
        (
            (DATA, WAL_OUT),
            ("data", "wal"),
            (),
            "on several claims (data_directory on data, pg_wal on wal)",
        ),
        ((DATA, WAL_OUT), ("data", "wal", "x"), (("data", "x"),), "on several claims"),
        ((DATA, WAL_OUT), ("data",), (), "pg_wal (/data/pg/pg_wal) lies on claim wal, which this"),
        ((DATA, WAL_OUT), ("wal",), (), "data_directory (/data/pg) lies on claim data, which this"),
        ((DATA, WAL_LOST), ("data",), (), "on volume scratch, which is not a claim"),
        ((DATA, WAL_LOST), ("data",), (("data", "wal"),), "on volume scratch"),
        (None, ("data",), (), "writes to claims data, wal, and the database does not say"),
        ((UNSEEN,), ("data",), (), "the database does not say"),
        ((DATA, UNSEEN), ("data",), (), "where it lies could not be seen"),
    ],
)
def test_a_part_of_the_data_or_two_moments_of_it_are_refused_in_words(
    data: tuple[DataDirectory, ...] | None,
    claims: tuple[str, ...],
    frozen: tuple[tuple[str, ...], ...],
    words: str,
) -> None:
    found = data_trouble(data, MOUNTS, POINTS, claims, frozen)
    assert words in found
    assert "PerClaim" in found


def test_a_server_that_says_nothing_has_nowhere_else_to_write_than_the_only_claim() -> None:
    points = ("/data", "/tmp", "/config")
    assert data_trouble(None, ONE_CLAIM, points, ("data",), ()) == ""
    assert data_trouble((UNSEEN,), ONE_CLAIM, points, ("data",), ()) == ""
