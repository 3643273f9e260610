"""What a repository has: points that count, records that do not, data without one, and others'."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.domain.errors import DataError
from backstay.domain.stores.repository.listing import Snapshot
from backstay.domain.stores.repository.points import EXAMPLES, Content, sort
from backstay.domain.stores.repository.record import encode
from backstay.domain.times import parse_time

AT = parse_time("2026-11-22T01:02:03Z")
DATA, RECORD, TREE = "d" * 64, "e" * 64, "f" * 64
CONTENT = Content(files=3, bytes=5500, added=700, unreadable=1, examples=("sub/b",))


def snapshot(id: str, *tags: str, **more: Any) -> Snapshot:
    wanted = {"time": AT, "tree": TREE, "host": "shop/uploads", "paths": ("/data",), **more}
    return Snapshot(id=id, tags=tags, **wanted)


def data(**more: Any) -> Snapshot:
    tags = ("backstay", "run=one", "attempt=2", "policy=nightly")
    return replace(snapshot(DATA, *tags, files=3, bytes=5500), **more)


def record(*, said: object = None, **tags: str) -> Snapshot:
    stored = {"stored": CONTENT.to_json()}
    found = {"run": "one", "attempt": "2", "data": DATA, "tree": TREE}
    found["record"] = encode({"backup": {"name": "one"}, **stored} if said is None else said)  # type: ignore[arg-type]
    found |= tags
    words = tuple(f"{key}={value}" for key, value in found.items() if value)
    return snapshot(RECORD, "backstay-point", *words, paths=("/record.json",), tree="0" * 64)


def test_data_and_its_record_are_a_point() -> None:
    (point,) = sort([data(), record()]).points

    assert (point.run, point.attempt, point.data.id, point.record.id) == ("one", 2, DATA, RECORD)
    assert point.content == CONTENT
    assert point.said == {"backup": {"name": "one"}}


def test_data_without_a_record_is_no_point_and_is_known() -> None:
    found = sort([data()])
    assert (found.points, found.unrecorded) == ((), (data(),))


def test_what_others_have_made_is_theirs() -> None:
    other = snapshot("1" * 64, "daily")
    found = sort([other, data(), record()])
    assert (found.foreign, found.unrecorded, dict(found.broken)) == ((other,), (), {})


def test_tags_changed_by_hand_leave_the_point_what_it_is() -> None:
    moved = data(id="2" * 64, original=DATA, tags=(*data().tags, "seen"))
    (point,) = sort([moved, record()]).points
    assert point.data == moved


WRONG = {
    "no data": ([record()], "is not there"),
    "data of another run": (
        [data(tags=("backstay", "run=two", "attempt=2")), record()],
        "another run",
    ),
    "data of another attempt": (
        [data(tags=("backstay", "run=one", "attempt=1")), record()],
        "attempt",
    ),
    "another tree": ([data(tree="9" * 64), record()], "another tree"),
    "fewer files": ([data(files=2), record()], "2 files"),
    "fewer bytes": ([data(bytes=1), record()], "1 bytes"),
    "no run": ([data(), record(run="")], "no run"),
    "an attempt in words": ([data(), record(attempt="two")], "attempt"),
    "two runs": ([data(), replace(record(), tags=(*record().tags, "run=two"))], "several"),
    "no record": ([data(), record(record="")], "record"),
    "a record that is none": ([data(), record(record="abc")], "record"),
    "a record without what was stored": ([data(), record(said={"a": 1})], "stored"),
    "a record with odd numbers": (
        [data(), record(said={"stored": {**CONTENT.to_json(), "files": -3}})],
        "stored.files",
    ),
    "a record with odd names": (
        [data(), record(said={"stored": {**CONTENT.to_json(), "examples": "sub/b"}})],
        "stored.examples",
    ),
    "data that names a foreign snapshot": ([snapshot(DATA), record()], "is not there"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_record_that_does_not_fit_counts_nothing_and_says_why(what: str) -> None:
    snapshots, words = WRONG[what]
    found = sort(snapshots)
    assert found.points == ()
    assert words in found.broken[RECORD]


def test_numbers_that_restic_does_not_say_are_taken_from_the_record() -> None:
    assert sort([data(files=None, bytes=None), record()]).points[0].content == CONTENT


def test_of_many_examples_a_few_are_taken_and_none_is_long() -> None:
    many = {**CONTENT.to_json(), "examples": ["x" * 1000] * 50}
    found = Content.from_json(many)
    assert len(found.examples) == EXAMPLES
    assert max(map(len, found.examples)) == 200
    with pytest.raises(DataError, match="object"):
        Content.from_json([])


TAGS = st.sampled_from(
    ["backstay", "backstay-point", "run=one", "run=two", "attempt=2", "attempt=x", f"data={DATA}",
     "data=no", f"tree={TREE}", "record=abc", record().tags[-1]]
)  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from([DATA, RECORD, "1" * 64]), st.lists(TAGS)), max_size=6))
def test_whatever_somebody_writes_each_snapshot_is_one_thing(
    made: list[tuple[str, list[str]]],
) -> None:
    every = {id: snapshot(id, *tags, files=3, bytes=5500) for id, tags in made}
    try:
        found = sort(every.values())
    except DataError:
        pytest.fail("one odd snapshot hides all others")
    counted = [
        *(point.record.id for point in found.points), *found.broken,
        *{point.data.id for point in found.points},
        *(one.id for one in (*found.unrecorded, *found.foreign)),
    ]  # fmt: skip
    assert sorted(counted) == sorted(every)
