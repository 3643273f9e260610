"""A snapshot as restic says it, as a line has it, and what it is to us."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.domain.errors import DataError
from backstay.domain.stores.repository.listing import (
    Kind,
    Snapshot,
    from_restic,
    parent_of,
    parse_line,
    to_line,
)

AT = datetime(2026, 11, 22, 1, 2, 3, tzinfo=UTC)
IDS = st.binary(min_size=32, max_size=32).map(bytes.hex)
SNAPSHOTS = st.builds(
    Snapshot,
    id=IDS,
    time=st.timedeltas(timedelta(days=-10_000), timedelta(days=40_000)).map(lambda age: AT + age),
    tree=IDS,
    host=st.text(max_size=20),
    paths=st.lists(st.text(max_size=20), max_size=2).map(tuple),
    tags=st.lists(st.text(max_size=20), max_size=3).map(tuple),
    original=st.just("") | IDS,
    files=st.none() | st.integers(0, 10**12),
    bytes=st.none() | st.integers(0, 10**18),
)


@given(SNAPSHOTS)
def test_a_line_is_the_snapshot(snapshot: Snapshot) -> None:
    line = to_line(snapshot)
    assert "\n" not in line
    assert parse_line(line) == snapshot


def raw(**more: Any) -> dict[str, Any]:
    """A snapshot as restic 0.19.1 lists it."""
    return {
        "time": "2026-11-22T02:02:03.000000004+01:00",
        "tree": "1" * 64,
        "paths": ["/data"],
        "hostname": "shop/uploads",
        "username": "root",
        "tags": ["backstay", "run=nightly-1"],
        "program_version": "restic 0.19.1",
        "summary": {"total_files_processed": 3, "total_bytes_processed": 5500},
        "id": "2" * 64,
        "short_id": "2" * 8,
        **more,
    }


def test_what_restic_says_is_read_whole() -> None:
    assert from_restic(raw(original="3" * 64)) == Snapshot(
        id="2" * 64,
        time=AT,
        tree="1" * 64,
        host="shop/uploads",
        paths=("/data",),
        tags=("backstay", "run=nightly-1"),
        original="3" * 64,
        files=3,
        bytes=5500,
    )


def test_what_an_older_restic_made_says_no_numbers_and_is_read() -> None:
    found = from_restic({**raw(tags=None, hostname=None), "summary": None})
    assert (found.files, found.bytes, found.tags, found.host) == (None, None, (), "")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", "2" * 63),
        ("id", "X" * 64),
        ("tree", None),
        ("time", "yesterday"),
        ("paths", "/data"),
        ("tags", [1]),
        ("hostname", 7),
        ("original", "3"),
        ("summary", {"total_files_processed": -1}),
        ("summary", {"total_bytes_processed": True}),
    ],
)
def test_what_is_no_snapshot_is_refused(key: str, value: object) -> None:
    with pytest.raises(DataError):
        from_restic(raw(**{key: value}))


@pytest.mark.parametrize("line", ["", "no", "[]", "7", '{"id": 1}', "[" * 100_000])
def test_what_is_no_line_is_refused(line: str) -> None:
    with pytest.raises(DataError):
        parse_line(line)


@pytest.mark.parametrize(
    ("tags", "kind"),
    [
        (["backstay", "run=a"], Kind.DATA),
        (["backstay-point", "run=a"], Kind.RECORD),
        (["backstay-point"], Kind.RECORD),
        (["backstay"], Kind.FOREIGN),
        (["backstay", "run="], Kind.FOREIGN),
        (["backstay", "run=a", "run=b"], Kind.FOREIGN),
        (["run=a"], Kind.FOREIGN),
        ([], Kind.FOREIGN),
    ],
)
def test_tags_say_what_a_snapshot_is(tags: list[str], kind: Kind) -> None:
    assert from_restic(raw(tags=tags)).kind is kind


def test_a_key_with_two_values_has_none() -> None:
    found = from_restic(raw(tags=["run=a", "run=b", "run=a", "data=c", "data=c"]))
    assert found.tag("data") == "c"
    assert found.tag("policy") == ""
    with pytest.raises(DataError, match="run"):
        found.tag("run")
    assert found.is_of("a")
    assert found.is_of("b")
    assert not found.is_of("")


def test_the_parent_is_the_newest_of_the_same_host_and_path() -> None:
    def one(digit: str, **more: Any) -> Snapshot:
        return from_restic(raw(id=digit * 64, **more))

    later = (AT + timedelta(hours=1)).astimezone(timezone(timedelta(hours=5))).isoformat()
    same = [one("4"), one("5", time=later), one("6")]
    others = [
        one("7", time=later, hostname="shop/other"),
        one("8", time=later, paths=["/record.json"]),
        one("9", time=later, paths=["/data", "/more"]),
    ]

    assert parent_of([*same, *others], "shop/uploads", "/data") == "5" * 64
    assert parent_of(others, "shop/uploads", "/data") == ""
    assert json.loads(to_line(same[1]))["time"] == "2026-11-22T02:02:03Z"
