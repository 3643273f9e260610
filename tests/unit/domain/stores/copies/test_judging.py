"""Copies that are set apart, and what that leaves of the others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstay.api.rolling_status import CopyStatus
from backstay.domain import labels
from backstay.domain.retention.brakes import freeze
from backstay.domain.retention.points import Point, Rules, Verdict
from backstay.domain.retention.series import GRACE
from backstay.domain.stores.copies.judging import (
    Copy,
    clock_trouble,
    grouped,
    judge_copies,
    replaced,
)
from backstay.domain.stores.copies.points import Series

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SERIES = Series("shop", "uploads", "hostPath", "worker-1", "/srv/uploads")
DAILY = Rules(zone=UTC, daily=3)
DAY = timedelta(days=1)
OLD = {labels.DELETE_AFTER: "2026-01-01"}


def copy(number: int, age: timedelta, *, source: str = "", **more: Any) -> Copy:
    """A copy by its number, how long ago it was made and what its source was."""
    kept = {labels.RESULT: "good", labels.RETAIN: "daily_weekly_monthly"}
    notes = {labels.RESTORE_REQUEST: "uid"} if more.pop("aside", False) else {}
    point = Point(
        namespace="shop",
        name=f"point-{number:03}",
        uid=f"uid-{number}",
        resource_version="1",
        claim=SERIES.key,
        taken=NOW - age,
        ready=True,
        labels=kept | more.pop("labels", {}),
        marked_at=more.pop("marked_at", None),
    )
    status = CopyStatus(
        uid=point.uid,
        version="1",
        seq=number,
        identity=(source,) if source else (),
        annotations=notes,
        clock=more.pop("clock", None),
        unreadable=more.pop("unreadable", 0),
    )
    return Copy(point, status, more.pop("good_since", NOW - age), **more)


def verdicts(
    copies: list[Copy], rules: Rules | None = DAILY, accepted: frozenset[str] = frozenset()
) -> dict[int, Verdict]:
    found = judge_copies(grouped(copies, SERIES, accepted, NOW), rules, NOW)
    assert len(found) == len(copies)
    return {c.status.seq: found[c.point.name] for c in copies}


def going(found: dict[int, Verdict]) -> set[int]:
    """Which are marked again or swept."""
    return {n for n, v in found.items() if v.sweep or labels.MARKED_AT in v.set_annotations}


def test_copies_of_another_disk_push_out_none_of_those_before() -> None:
    old = [copy(n, (20 - n) * DAY, source="a") for n in range(1, 8)]
    new = [copy(n, (20 - n) * DAY, source="b") for n in range(8, 18)]

    assert going(verdicts(old)) == {1, 2, 3, 4}
    assert going(verdicts([*old, *new])) == {8, 9, 10, 11, 12, 13, 14}
    groups = grouped([*old, *new], SERIES, frozenset(), NOW)
    reported = replaced(groups, SERIES, "worker-1:/srv/uploads", frozenset())
    assert reported is not None
    assert reported.copies == 7
    accepted = frozenset({reported.word})
    assert going(verdicts([*old, *new], accepted=accepted)) == set(range(1, 15))
    assert replaced(grouped(old, SERIES, frozenset(), NOW), SERIES, "x", frozenset()) is None


def test_what_came_between_an_accepted_source_and_its_return_is_joined_by_any_only() -> None:
    copies = [copy(n, (20 - n) * DAY, source=letter) for n, letter in enumerate("abcb", 1)]
    between = grouped(copies, SERIES, frozenset(), NOW)
    reported = replaced(between, SERIES, "x", frozenset())
    assert reported is not None
    accepted = frozenset({reported.word})
    left = grouped(copies, SERIES, accepted, NOW)
    assert [c.status.seq for c in left.before] == [3]
    again = replaced(left, SERIES, "x", accepted)
    assert again is not None
    assert again.word == "any"
    assert not grouped(copies, SERIES, frozenset({"any"}), NOW).before


def test_a_copy_of_a_source_before_goes_on_a_date_set_by_hand_only() -> None:
    marked = {labels.DELETE_AFTER: "2026-11-10"}
    copies = [
        copy(1, 20 * DAY, source="a", labels=OLD),
        copy(2, 19 * DAY, source="a", labels=marked, marked_at="2026-11-10T00:00:00+00:00"),
        copy(3, 18 * DAY, source="a", labels={labels.DELETE_AFTER: "soon"}),
        copy(4, 17 * DAY, source="a", labels=OLD | {labels.HOLD: "true"}),
        copy(5, DAY, source="b"),
    ]
    found = verdicts(copies)
    assert going(found) == {1}
    assert "kept: of a source that was there before" in found[2].reasons
    assert all("policy" not in reason for v in found.values() for reason in v.reasons)


def test_what_a_restore_kept_is_never_the_newest_good_copy_nor_fills_a_rule() -> None:
    copies = [copy(n, (10 - n) * DAY) for n in range(1, 5)]
    safety = [
        copy(9, 5 * DAY, aside=True, labels={labels.RETAIN: "days", **OLD}),
        copy(8, 5 * DAY, aside=True),
    ]

    found = verdicts([*copies, *safety])

    assert found[9].sweep
    assert going({n: found[n] for n in range(1, 5)}) == going(verdicts(copies)) == {1}
    only_one = verdicts([copy(1, 10 * DAY, labels=OLD), *safety])
    assert not only_one[1].sweep
    assert going(verdicts(safety)) == set()


def test_a_copy_of_the_future_counts_in_nothing_and_stays() -> None:
    copies = [copy(n, (10 - n) * DAY) for n in range(1, 6)]
    ahead = copy(6, -5 * 365 * DAY, labels=OLD)

    found = verdicts([*copies, ahead])

    assert going(found) == going(verdicts(copies)) == {1, 2}
    assert "still to come" in found[6].reasons[0]
    assert "still to come" in clock_trouble([*copies, ahead], NOW)


def test_the_copy_that_was_made_last_stays_also_where_its_date_is_older() -> None:
    """Or the agent, which goes by the order of making, would be asked again and again."""
    copies = [copy(n, n * DAY) for n in range(1, 5)]
    dated = copy(9, 9 * DAY, labels=OLD)
    assert going(verdicts([*copies, dated])) == {4}
    assert going(verdicts([*copies, copy(9, 9 * DAY)])) == {4}


def test_the_clock_of_the_last_copy_counts_and_is_over_with_the_next() -> None:
    off = copy(2, DAY, clock="the clock of node n1 says 2031")
    assert clock_trouble([copy(1, 2 * DAY), off], NOW) == off.status.clock
    assert clock_trouble([off, copy(3, timedelta(0))], NOW) == ""
    assert clock_trouble([], NOW) == ""


@pytest.mark.parametrize("rules", [DAILY, None])
def test_no_date_is_followed_within_the_grace_of_becoming_good(rules: Rules | None) -> None:
    copies = [
        copy(1, 10 * DAY, labels=OLD, good_since=NOW - GRACE),
        copy(2, 9 * DAY, labels=OLD, good_since=NOW - GRACE - timedelta(seconds=1)),
        copy(3, 8 * DAY, labels=OLD, named=True),
        copy(4, DAY),
    ]
    found = verdicts(copies, rules)
    assert {n for n, v in found.items() if v.sweep} == {2}
    assert "became good less than 24 hours ago" in found[1].reasons[-1]
    assert "RestoreRequest" in found[3].reasons[-1]


def test_what_is_held_back_is_neither_marked_nor_swept() -> None:
    copies = [copy(n, (20 - n) * DAY, labels=OLD if n == 1 else {}) for n in range(1, 8)]
    found = verdicts(copies)
    assert found[1].sweep
    held = {n: freeze(v, "why not") for n, v in found.items()}
    assert going(found) != set()
    assert going(held) == set()
    assert "why not" in held[1].reasons[-1]


copies_of_any_kind = st.lists(
    st.builds(
        lambda age, source, aside, old, good: (age, source, aside, old, good),
        st.integers(-400, 400),
        st.sampled_from(["", "a", "b"]),
        st.booleans(),
        st.booleans(),
        st.integers(0, 72),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(copies_of_any_kind, st.sampled_from([DAILY, None, Rules(zone=UTC, last=2)]))
def test_whatever_else_lies_there_no_more_of_the_real_copies_go_than_without_it(
    drawn: list[tuple[int, str, bool, bool, int]], rules: Rules | None
) -> None:
    """Other disks, the future and restores take nothing away; nothing goes within the grace."""
    copies = [
        copy(
            number,
            timedelta(hours=12 * age),
            source=source,
            aside=aside,
            labels=OLD if old else {},
            good_since=NOW - timedelta(hours=good),
        )
        for number, (age, source, aside, old, good) in enumerate(drawn, 1)
    ]
    groups = grouped(copies, SERIES, frozenset(), NOW)
    found = verdicts(copies, rules)

    counted = [c.status.seq for c in groups.counted]
    alone = verdicts(list(groups.counted), rules)
    # The one that was made last stays whatever it is; among more copies that is another one.
    last = {max(counted, default=0)}
    assert going({n: found[n] for n in counted}) - last == going(alone) - last
    by_number = {c.status.seq: c for c in copies}
    for number in (n for n, v in found.items() if v.sweep):
        assert NOW - by_number[number].good_since > GRACE
        assert labels.DELETE_AFTER in by_number[number].point.labels
    real = [c for c in copies if c.is_real and c.point.taken <= NOW]
    if real:
        newest = max((c for c in groups.counted), key=lambda c: c.point.order)
        assert newest.status.seq not in going(found)


def test_the_newest_copy_that_lacks_nothing_stays_beside_the_newest() -> None:
    whole = copy(1, 9 * DAY, labels=OLD)
    lacking = [copy(number, (9 - number) * DAY, labels=OLD, unreadable=2) for number in (2, 3, 4)]
    found = judge_copies(grouped([whole, *lacking], SERIES, (), NOW), DAILY, NOW)

    assert {name: one.sweep for name, one in found.items()} == {
        "point-001": False,
        "point-002": True,
        "point-003": True,
        "point-004": False,
    }
    assert any("nothing is missing" in why for why in found["point-001"].reasons)


def test_a_copy_that_lacks_something_fills_the_tiers_as_any_other() -> None:
    lacking = verdicts([copy(n, (9 - n) * DAY, unreadable=n % 2) for n in range(1, 8)])
    whole = verdicts([copy(n, (9 - n) * DAY) for n in range(1, 8)])
    assert {n: v.set_labels for n, v in lacking.items()} == {
        n: v.set_labels for n, v in whole.items()
    }
