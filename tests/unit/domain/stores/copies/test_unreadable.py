"""What a copy lacks, as its file says it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.domain.errors import DataError
from backstay.domain.stores.copies.unreadable import EXAMPLES, Unread

NUMBERS = st.integers(0, 2**63 - 1)


@given(NUMBERS, st.lists(st.text(max_size=200), max_size=EXAMPLES), NUMBERS, NUMBERS)
def test_what_is_written_is_read_again(
    count: int, names: list[str], entries: int, size: int
) -> None:
    one = Unread(count, tuple(names), entries, size)
    assert Unread.from_json(one.to_json()) == one


def test_a_point_that_says_nothing_lacks_nothing() -> None:
    assert Unread.from_json(None) is None


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (7, "point.unreadable:"),
        ({"count": "many"}, "point.unreadable.count"),
        ({"count": True}, "point.unreadable.count"),
        ({"count": 1, "bytes": -1}, "point.unreadable.bytes"),
        ({"count": 1, "entries": 2**63}, "point.unreadable.entries"),
        ({"count": 1, "examples": [1]}, "point.unreadable.examples"),
    ],
)
def test_what_cannot_be_understood_is_reported_by_its_field(raw: object, field: str) -> None:
    with pytest.raises(DataError, match=field):
        Unread.from_json(raw)


def test_it_is_reported_in_words_with_some_of_the_names() -> None:
    assert Unread(1, ("a",)).in_words == "1 entries could not be read and are missing: a"
    assert Unread(9, ("a", "b")).in_words.endswith("missing: a, b, ...")
