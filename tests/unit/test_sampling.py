"""What a slice of a sweep has, and that all slices together leave nothing out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import sampling
from tests.support.sampling import PART, VARIABLE, chosen_slice, sampled, searched


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Have the variable read again, also by what comes later."""
    chosen_slice.cache_clear()
    yield
    chosen_slice.cache_clear()


def slices(points: list[int], monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    found = []
    for number in range(PART):
        monkeypatch.setenv(VARIABLE, str(number))
        chosen_slice.cache_clear()
        found.append(sampled(points))
    return found


@pytest.mark.parametrize("count", [1, 2, PART, 46])
def test_each_slice_has_both_ends_and_all_together_have_every_point(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = list(range(100, 100 + count))

    found = slices(points, monkeypatch)

    assert all(one[0] == points[0] and one[-1] == points[-1] for one in found)
    assert all(one == sorted(one) for one in found)
    assert all(len(one) <= count // PART + 3 for one in found)
    assert sorted({point for one in found for point in one}) == points


def test_no_points_are_no_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    assert slices([], monkeypatch) == [[]] * PART


def test_a_soak_takes_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, sampling.WHOLE)

    assert chosen_slice() is None
    assert sampled(range(9)) == list(range(9))


def test_a_commit_always_has_the_same_slice() -> None:
    first = chosen_slice()
    chosen_slice.cache_clear()
    assert chosen_slice() == first


def test_without_git_it_is_a_fixed_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("PATH", "/nowhere")

    assert chosen_slice() == 0


def test_a_slice_that_is_no_number_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "everything")

    with pytest.raises(ValueError, match="everything"):
        chosen_slice()


@pytest.mark.parametrize(("number", "wanted"), [("7", 25), ("8", 25), (sampling.WHOLE, 100)])
def test_a_search_takes_a_part_of_its_examples_or_all(
    number: str, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, number)

    assert len(_examples_of(searched(100))) == wanted


def test_two_slices_search_in_two_ways_and_one_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for number in ("7", "8", "7"):
        monkeypatch.setenv(VARIABLE, number)
        chosen_slice.cache_clear()
        found.append(_examples_of(searched(100)))

    assert found[0] == found[2] != found[1]


def _examples_of(decorate: sampling.Decorator) -> list[int]:
    """Run a search; return what it tried."""
    tried: list[int] = []

    @decorate
    @given(st.integers())
    def search(number: int) -> None:
        tried.append(number)

    search()
    return tried
