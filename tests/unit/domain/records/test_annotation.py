"""A record says enough to restore, fits its annotation, and is read with care."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from backstay.domain.errors import DataError
from backstay.domain.records.annotation import SIZE_LIMIT, build_record, parse_record
from backstay.domain.records.record import ClaimRecord, DumpRecord, Record

DUMP = DumpRecord(
    name="shop",
    engine="postgres",
    file="/var/lib/postgresql/data/backstay/shop.dump",
    path_in_claim="backstay/shop.dump",
    sha256="0" * 64,
    size=123_456,
    uid=999,
    gid=999,
    versions={"server": "17.2", "pg_dump": "17.2"},
    format="custom",
    compression="zstd",
    compressed=True,
    position="binlog.7 at 42",
    server="7301",
    notes=("the rows of 1 unlogged table are not in it: public.sessions",),
)
CLAIM = ClaimRecord(
    name="data-pg-0",
    uid="c-uid",
    size="1Gi",
    storage_class="fast",
    access_modes=("ReadWriteOnce",),
    volume_mode="Filesystem",
    labels={"app": "pg"},
)
RECORD = Record(
    policy="shop",
    backup="shop-20261122-0032",
    slot=datetime(2026, 11, 21, 23, 32, tzinfo=UTC),
    zone="Europe/Vienna",
    attempt=1,
    namespace="shop",
    namespace_uid="n-uid",
    claim=CLAIM,
    dumps=(DUMP,),
)


@pytest.mark.parametrize(
    "record",
    [RECORD, replace(RECORD, dumps=()), replace(RECORD, claim=replace(CLAIM, storage_class=None))],
)
def test_a_record_is_read_back_as_it_was_written(record: Record) -> None:
    assert parse_record(build_record(record)) == record


def test_the_claims_labels_are_the_first_to_go() -> None:
    large = replace(RECORD, claim=replace(CLAIM, labels={f"k{i}": "v" * 60 for i in range(200)}))
    text = build_record(large)
    assert len(text.encode()) <= SIZE_LIMIT
    found = parse_record(text)
    assert found.claim.labels == {}
    assert found.dumps == large.dumps
    assert found.dropped == ("claim.labels",)


def test_the_versions_are_the_next_to_go() -> None:
    wordy = replace(DUMP, versions={"server": "ä" * 5000})
    text = build_record(replace(RECORD, dumps=(wordy,)))
    assert len(text.encode()) <= SIZE_LIMIT
    found = parse_record(text)
    assert found.dumps[0].versions == {}
    assert found.dropped == ("claim.labels", "dumps.versions")


def test_positions_go_after_the_versions() -> None:
    wordy = replace(DUMP, position="x" * 1024)
    text = build_record(replace(RECORD, dumps=(wordy,) * 8))
    assert len(text.encode()) <= SIZE_LIMIT
    found = parse_record(text)
    assert found.dumps == (replace(DUMP, versions={}, position=None),) * 8
    assert found.dropped == ("claim.labels", "dumps.versions", "dumps.position")


def test_the_servers_identities_go_after_the_positions() -> None:
    wordy = replace(DUMP, server="x" * 128, notes=())
    text = build_record(replace(RECORD, dumps=(wordy,) * 20))
    assert len(text.encode()) <= SIZE_LIMIT
    found = parse_record(text)
    assert found.dumps == (replace(wordy, versions={}, position=None, server=None),) * 20
    assert found.dropped[-1] == "dumps.server"


def test_notes_are_the_last_to_go_and_how_many_there_were_stays() -> None:
    wordy = replace(DUMP, notes=("ü" * 512,) * 16)
    text = build_record(replace(RECORD, dumps=(wordy, replace(DUMP, notes=()))))
    assert len(text.encode()) <= SIZE_LIMIT
    first, second = parse_record(text).dumps
    assert first.notes == ("16 notes: see backstay/shop.dump.json",)
    assert second.notes == ()
    assert parse_record(text).dropped[-1] == "dumps.notes"


def test_a_record_that_cannot_be_made_small_is_refused_with_the_remedy() -> None:
    with pytest.raises(DataError, match="split the policy"):
        build_record(replace(RECORD, dumps=(DUMP,) * 100))


def test_unknown_fields_are_ignored() -> None:
    raw: dict[str, Any] = json.loads(build_record(RECORD))
    raw["later"] = {"a": 1}
    raw["claim"]["later"] = True
    raw["dumps"][0]["later"] = []
    assert parse_record(json.dumps(raw)) == RECORD


def test_optional_fields_may_be_absent() -> None:
    raw: dict[str, Any] = json.loads(build_record(RECORD))
    for name in ("format", "compression", "compressed", "position", "server", "versions", "notes"):
        del raw["dumps"][0][name]
    (dump,) = parse_record(json.dumps(raw)).dumps
    bare = replace(DUMP, format=None, compression=None, compressed=None, position=None)
    assert dump == replace(bare, server=None, versions={}, notes=())
    del raw["dumps"], raw["dropped"], raw["claim"]["class"], raw["claim"]["labels"]
    found = parse_record(json.dumps(raw))
    assert (found.dumps, found.claim.storage_class, found.claim.labels) == ((), None, {})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("policy",), None),
        (("slot",), "yesterday"),
        (("slot",), "2026-11-22T00:32:00"),
        (("attempt",), "1"),
        (("attempt",), True),
        (("attempt",), -1),
        (("claim",), []),
        (("claim", "modes"), "ReadWriteOnce"),
        (("claim", "modes"), [1]),
        (("claim", "labels"), {"a": 1}),
        (("claim", "labels"), "a"),
        (("dumps",), {}),
        (("dumps",), ["x"]),
    ],
)
def test_a_wrong_field_is_named(path: tuple[str, ...], value: object) -> None:
    raw: dict[str, Any] = json.loads(build_record(RECORD))
    target = raw
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    with pytest.raises(DataError, match=rf"record\.{path[0]}"):
        parse_record(json.dumps(raw))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "1", "[" * 100_000])
def test_garbage_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        parse_record(text)


def test_a_record_says_its_version_and_one_of_a_later_backstay_is_refused() -> None:
    raw = json.loads(build_record(RECORD))
    assert raw["version"] == 1
    del raw["version"]
    assert parse_record(json.dumps(raw)) == RECORD
    with pytest.raises(DataError, match=r"record.version: 2 is of a later Backstay.*upgrade it"):
        parse_record(json.dumps({**raw, "version": 2}))
