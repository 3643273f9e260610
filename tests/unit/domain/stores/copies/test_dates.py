"""When a copy was made, by whose clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.domain.stores.copies.dates import Expected, believed, made_at

ASKED = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
EXPECTED = Expected(ASKED, ASKED + timedelta(hours=4), ASKED + timedelta(hours=24))
DAY = timedelta(days=1)
YEAR = timedelta(days=365)
moments = st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2100, 1, 1)).map(  # noqa: DTZ001
    lambda at: at.replace(tzinfo=UTC)
)


@pytest.mark.parametrize(
    ("said", "newest", "moment"),
    [
        (ASKED + timedelta(hours=3), ASKED - DAY, ASKED + timedelta(hours=3)),
        (ASKED - timedelta(seconds=50), None, ASKED - timedelta(seconds=50)),
        (ASKED + timedelta(hours=13), ASKED - DAY, ASKED),  # a later Pod, or a clock ahead
        (ASKED + 5 * YEAR, ASKED - DAY, ASKED),  # the node is ahead
        (ASKED - 30 * YEAR, ASKED - DAY, ASKED),  # the node is behind
        (ASKED - 30 * YEAR, None, ASKED),
        (ASKED + 2 * YEAR, ASKED + 2 * YEAR - DAY, ASKED + 2 * YEAR),  # the operator is behind
        (ASKED - 2 * YEAR, ASKED + 3 * YEAR, ASKED),  # the newest point is of the future
    ],
)
def test_a_clock_is_believed_where_the_others_allow_it(
    said: datetime, newest: datetime | None, moment: datetime
) -> None:
    made = made_at("n1", said, EXPECTED, newest)

    assert made.moment == moment
    in_time = abs(said - ASKED) < DAY
    assert (made.clock == "") == in_time
    assert in_time or "node n1" in made.clock


@given(moments, moments, st.none() | moments)
def test_no_node_alone_makes_a_time_that_nobody_else_knows_of(
    said: datetime, asked: datetime, newest: datetime | None
) -> None:
    expected = Expected(asked, asked + DAY / 2, asked + DAY)
    made = made_at("n1", said, expected, newest)

    near = asked - timedelta(seconds=60) <= made.moment <= asked + DAY + timedelta(seconds=60)
    proven = newest is not None and newest <= made.moment + timedelta(seconds=60)
    assert near or proven


@pytest.mark.parametrize(
    ("taken", "slot", "moment"),
    [
        (ASKED + timedelta(hours=3), ASKED.isoformat(), ASKED + timedelta(hours=3)),
        (ASKED + 5 * YEAR, ASKED.isoformat(), ASKED),
        (ASKED - 30 * YEAR, ASKED.isoformat(), ASKED),
        (ASKED, "", ASKED),
        (ASKED, "soon", ASKED),
        (ASKED, "0001-01-01T00:00:00Z", ASKED),
    ],
)
def test_an_older_point_is_of_its_slot_where_its_clock_cannot_have_been_right(
    taken: datetime, slot: str, moment: datetime
) -> None:
    assert believed(taken, {"slot": slot}) == moment
    assert believed(taken, {}) == taken
