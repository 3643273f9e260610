"""Which snapshot of a repository a restore is of."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.domain.errors import UserError
from backstay.domain.restore.acknowledgement import Acknowledged
from backstay.domain.stores.repository.choice import Want, choose, contents
from backstay.domain.stores.repository.found import describe, parse_found
from backstay.domain.stores.repository.listing import Snapshot
from backstay.domain.stores.repository.record import encode

DAY = timedelta(days=1)
FIRST = datetime(2026, 11, 1, 3, tzinfo=UTC)
STORED = {
    "files": 2, "bytes": 6, "added": 1, "unreadable": 0, "vanished": 0, "examples": [],
}  # fmt: skip
WANT = Want("shop", "data")


def hex_of(number: int) -> str:
    return f"{number:08x}" * 8


def snapshot(number: int, **more: Any) -> Snapshot:
    found = Snapshot(
        id=hex_of(number),
        time=FIRST + number * DAY,
        tree=hex_of(number + 1000),
        host="volsync",
        paths=("/data",),
        tags=(),
        files=2,
        bytes=6,
    )
    return replace(found, **more)


def point(number: int, namespace: str = "shop", claim: str = "data") -> list[Snapshot]:
    """Data and its record."""
    of_run = (f"run=r{number}", "attempt=1")
    host = f"{namespace}/{claim}"
    data = snapshot(number, host=host, tags=("backstay", *of_run))
    record = {"namespace": namespace, "backup": f"r{number}", "claim": {"name": claim}}
    text = encode({**record, "stored": STORED})
    named = (f"data={data.id}", f"tree={data.tree}", f"record={text}")
    return [data, snapshot(number + 100, tags=("backstay-point", *of_run, *named))]


def chosen(snapshots: list[Snapshot], **wanted: Any) -> Snapshot:
    return choose(contents(snapshots), replace(WANT, **wanted), Acknowledged()).data


def refusal(snapshots: list[Snapshot], **wanted: Any) -> UserError:
    with pytest.raises(UserError) as raised:
        chosen(snapshots, **wanted)
    return raised.value


VOLSYNC = [snapshot(number) for number in range(4)]


@given(
    days=st.lists(st.integers(0, 20), unique=True, min_size=1),
    back=st.integers(0, 8),
    as_of=st.none() | st.integers(-1, 21),
)
def test_by_time_it_is_so_many_back_from_the_newest_that_is_not_newer(
    days: list[int], back: int, as_of: int | None
) -> None:
    """VolSync: `previous` counts from the newest, or from the first one before restoreAsOf."""
    there = [snapshot(day) for day in days]
    moment = FIRST + as_of * DAY if as_of is not None else None
    old_enough = sorted((d for d in days if as_of is None or d <= as_of), reverse=True)
    want = replace(WANT, host="volsync", as_of=moment, previous=back)
    if back < len(old_enough):
        found = choose(contents(there), want, Acknowledged())
        assert found.data.id == hex_of(old_enough[back])
    else:
        with pytest.raises(UserError) as raised:
            choose(contents(there), want, Acknowledged())
        assert raised.value.reason == "NothingThatOld"


@pytest.mark.parametrize(
    ("snapshots", "wanted", "reason", "words"),
    [
        ([], {}, "ClaimNotInRepository", "there is nothing in it that can be restored"),
        (VOLSYNC, {}, "ClaimNotInRepository", "there is host volsync and path /data (4)"),
        (VOLSYNC, {"host": "other"}, "SnapshotMissing", "no snapshot of host other"),
        (VOLSYNC, {"snapshot": "ffffffff"}, "SnapshotMissing", "there is no snapshot ffffffff"),
        (
            [snapshot(1), snapshot(1, id="00000001" + "f" * 56)],
            {"snapshot": "00000001"},
            "SnapshotAmbiguous",
            "give more digits",
        ),
        (
            [snapshot(1), snapshot(2, host="me")],
            {"path": "/data"},
            "HostNeeded",
            "set it to one of me, volsync",
        ),
        (
            [snapshot(1), snapshot(2, paths=("/other",))],
            {"host": "volsync"},
            "PathNeeded",
            "set it to one of /data, /other",
        ),
        (point(1, "web"), {}, "ClaimOfAnotherNamespace", "set spec.from.repository.host to web/da"),
        (point(1, claim="other"), {"snapshot": hex_of(1)}, "ClaimNotInSnapshot", "not of data"),
        (point(1)[:1], {}, "ClaimNotInRepository", "nothing in it that can be restored"),
        (point(1)[:1], {"snapshot": hex_of(1)}, "SnapshotNotRecorded", "Unverified"),
        (point(1)[1:], {"snapshot": hex_of(101)}, "SnapshotMissing", "whose data 00000001"),
    ],
)
def test_what_does_not_match_is_refused_with_what_there_is(
    snapshots: list[Snapshot], wanted: dict[str, Any], reason: str, words: str
) -> None:
    found = refusal(snapshots, **wanted)

    assert found.reason == reason
    assert words in found.message


def test_of_a_claim_only_what_a_record_calls_whole_counts() -> None:
    newer_without = snapshot(9, host="shop/data", tags=("backstay", "run=r9", "attempt=1"))

    assert chosen([*point(1), *point(2), newer_without, *VOLSYNC]).id == hex_of(2)


def test_the_id_of_a_record_stands_for_its_data() -> None:
    assert chosen(point(1), snapshot=hex_of(101)[:8]).id == hex_of(1)


def test_a_snapshot_whose_tags_were_changed_is_found_by_the_id_that_it_had() -> None:
    data, record = point(1)
    changed = replace(data, id=hex_of(50), original=data.id)

    assert chosen([changed, record], snapshot=data.id).id == hex_of(50)
    assert chosen([changed, record]).id == hex_of(50)


@pytest.mark.parametrize("tag", ["data", "tree", "run", "attempt"])
def test_a_record_that_differs_from_its_data_in_anything_makes_no_point(tag: str) -> None:
    data, record = point(1)
    other = {"data": hex_of(7), "tree": hex_of(7), "run": "r7", "attempt": "7"}[tag]
    tags = tuple(t for t in record.tags if not t.startswith(f"{tag}="))
    forged = replace(record, tags=(*tags, f"{tag}={other}"))

    assert refusal([data, forged]).reason == "ClaimNotInRepository"


def test_what_was_found_is_read_as_it_was_written() -> None:
    there = contents(point(1))
    line = describe(WANT, choose(there, WANT, Acknowledged()), "/data/x")

    (found,) = parse_found([json.dumps(line), "restic: said"], 1)

    assert (found.claim, found.snapshot, found.root) == ("data", hex_of(1), "/data/x")
    assert (found.backup, found.bytes) == ("r1", 6)
