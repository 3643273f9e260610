"""How far a Job has come: what its log says, and what people read of that."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.builders import NOW, minutes

from backstay.api.point import PointResult, PointStatus
from backstay.api.progress import Progress
from backstay.api.store import REPOSITORY
from backstay.domain.stores.progress import in_words, is_due, progress_in


def seconds(count: int) -> timedelta:
    return timedelta(seconds=count)


GI, MI = 1 << 30, 1 << 20
EARLIER = Progress(bytes=GI, of=4 * GI, seconds=60, rate=5 * MI, at=NOW - minutes(1))


def line(moved: object, of: object = 4 * GI, took: object = 75) -> str:
    return json.dumps({"progress": {"bytes": moved, "of": of, "seconds": took}})


def entry(progress: Progress | None = None) -> PointStatus:
    return PointStatus(
        source="data",
        store=REPOSITORY,
        attempt=1,
        result=PointResult.PENDING,
        requested_at=NOW - seconds(14),
        progress=progress,
    )


@pytest.mark.parametrize(
    ("progress", "due"),
    [
        (None, False),
        (EARLIER, True),
        (EARLIER.model_copy(update={"at": NOW - seconds(14)}), False),
        (EARLIER.model_copy(update={"at": NOW - seconds(15)}), True),
        (EARLIER.model_copy(update={"at": NOW + minutes(60)}), True),
    ],
)
def test_a_log_is_looked_at_every_15_seconds_whatever_the_clock_was(
    progress: Progress | None, due: bool
) -> None:
    assert is_due(entry(progress), NOW) is due


def test_the_last_line_of_progress_counts_and_others_are_passed_over() -> None:
    said = [line(1), "restic says something", line(2 * GI), "{}", '{"progress": 1}']
    found = progress_in(said, None, NOW)
    assert found == Progress(bytes=2 * GI, of=4 * GI, seconds=75, rate=2 * GI // 75, at=NOW)


@pytest.mark.parametrize("text", ["", "[1]", '{"progress": {"bytes": 1}}', "NaN", line(-1)])
def test_a_log_that_says_nothing_of_it_leaves_what_was_known(text: str) -> None:
    assert progress_in([text], EARLIER, NOW) is None


def test_the_rate_is_that_since_the_last_look() -> None:
    found = progress_in([line(GI + 150 * MI)], EARLIER, NOW)
    assert found is not None
    assert found.rate == 10 * MI


def test_a_second_pod_that_begins_again_is_no_step_back_in_time() -> None:
    found = progress_in([line(30 * MI, took=15)], EARLIER, NOW)
    assert found is not None
    assert (found.bytes, found.seconds, found.rate) == (30 * MI, 15, 2 * MI)


def test_a_line_that_was_seen_before_keeps_the_rate() -> None:
    found = progress_in([line(GI, took=60)], EARLIER, NOW)
    assert found == EARLIER.model_copy(update={"at": NOW})


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (EARLIER, "1.0Gi of 4.0Gi stored (25 %), 5.0Mi a second"),
        (Progress(bytes=5, seconds=1, at=NOW), "5 stored"),
        (Progress(bytes=5, of=4, seconds=1, rate=0, at=NOW), "5 of 4 stored (100 %)"),
    ],
)
def test_people_read_how_much_of_it_is_stored(progress: Progress, words: str) -> None:
    assert in_words(progress) == words


@given(st.lists(st.text(), max_size=3), st.integers(), st.integers(), st.integers())
def test_whatever_a_log_says_is_shown_or_passed_over(
    others: list[str], moved: int, of: int, took: int
) -> None:
    found = progress_in([*others, line(moved, of, took)], EARLIER, NOW)
    assert found is None or in_words(found)
