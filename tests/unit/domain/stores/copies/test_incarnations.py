"""Which copies are of the source as it is now."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.domain.stores.copies.incarnations import (
    Replaced,
    accepted_words,
    accepting,
    accepts_any,
    brake_of,
    current,
    ids_of_claim,
    is_accepted,
)
from backstay.domain.stores.copies.points import Series

DIRECTORY = Series("shop", "uploads", "hostPath", "worker-1", "/srv/uploads")
CLAIM = Series("shop", "uploads", "claim", "data", "")
histories = st.lists(st.sampled_from(["", "a", "b", "c"]), max_size=12)


def of(history: str) -> list[tuple[int, tuple[str, ...]]]:
    """One letter a point: what its source was; `-` says nothing."""
    return [(at, () if letter == "-" else (letter,)) for at, letter in enumerate(history)]


@pytest.mark.parametrize(
    ("history", "accepted", "inside"),
    [
        ("", "", ""),
        ("---", "", "111"),
        ("aaa", "", "111"),
        ("--a", "", "111"),
        ("aab", "", "001"),
        ("aaba", "", "1101"),  # another disk for one day
        ("aabb-", "", "00111"),
        ("a-bb", "", "0011"),
        ("--bb", "", "1111"),
        ("aabb", "b", "1111"),
        ("abc", "b", "001"),  # b goes on a, c goes on nothing
        ("abc", "c", "111"),
        ("abcb", "b", "1101"),
    ],
)
def test_the_source_of_the_point_that_was_made_last_is_the_current_one(
    history: str, accepted: str, inside: str
) -> None:
    found = current(of(history), [(word,) for word in accepted])
    assert "".join(str(int(is_in)) for is_in in found) == inside


def test_two_sources_that_share_one_word_are_the_same() -> None:
    first, again = ids_of_claim("uid-1", "pv-1"), ids_of_claim("uid-2", "pv-1")
    other = ids_of_claim("uid-2", "pv-2")
    assert current([(1, first), (2, again)]) == [True, True]
    assert current([(1, first), (2, other)]) == [False, True]
    restored = ids_of_claim("uid-3", "pv-3", continues="uid-1")
    assert current([(1, first), (2, restored)]) == [True, True]
    assert ids_of_claim("uid-1") == ("claim:uid-1",)
    assert accepting(CLAIM, restored) == "data@uid-3"


@given(histories, st.randoms(use_true_random=False))
def test_the_order_of_reading_does_not_matter_and_the_newest_is_always_current(
    history: list[str], random: object
) -> None:
    points = [(at, (word,) if word else ()) for at, word in enumerate(history)]
    found = dict(zip([at for at, _ in points], current(points), strict=True))
    shuffled = list(points)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert dict(zip([at for at, _ in shuffled], current(shuffled), strict=True)) == found
    assert all(is_in for at, is_in in found.items() if at == len(points) - 1)


@given(histories)
def test_one_more_copy_of_the_same_source_leaves_all_where_they_are(history: list[str]) -> None:
    points = [(at, (word,) if word else ()) for at, word in enumerate(history)]
    if points:
        more = [*points, (len(points), points[-1][1])]
        assert current(more)[:-1] == current(points)


def test_a_person_accepts_this_source_and_no_other() -> None:
    claim, directory = ids_of_claim("uid-2", "pv-2"), ("ext4:1:2:3",)
    words = accepted_words("data@uid-2, other@uid-9", f"{accepting(DIRECTORY, directory)},")

    assert is_accepted(CLAIM, claim, words)
    assert is_accepted(DIRECTORY, directory, words)
    assert not is_accepted(CLAIM, ids_of_claim("uid-3", "pv-2"), words)
    assert not is_accepted(DIRECTORY, ("ext4:1:2:4",), words)
    assert not is_accepted(DIRECTORY, (), words)
    assert accepts_any(DIRECTORY, accepted_words(None, "any"))
    assert not accepts_any(DIRECTORY, words)
    assert not accepts_any(CLAIM, accepted_words(None, "any"))


def test_the_report_names_source_and_command_and_keeps_what_was_accepted_before() -> None:
    found = [
        Replaced(CLAIM, "data", 7, "data@uid-2"),
        Replaced(DIRECTORY, "worker-1:/srv/uploads", 3, "0123456789"),
    ]
    accepted = frozenset({"other@uid-9", "abcdefabcd"})

    claims = brake_of(found, accepted, "shop", "uploads", claims=True)
    directories = brake_of(found, accepted, "shop", "uploads", claims=False)

    assert claims is not None
    assert directories is not None
    assert "claim data (7 copies" in claims.message
    assert "backstay.dev/accept-claim=data@uid-2,other@uid-9 --overwrite -n shop" in claims.message
    assert "directory worker-1:/srv/uploads (3 copies" in directories.message
    assert "backstay.dev/accept-source=0123456789,abcdefabcd" in directories.message
    assert brake_of(found[:1], accepted, "shop", "uploads", claims=False) is None
