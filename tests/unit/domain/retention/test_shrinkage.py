"""The brake on shrunken backups: what freezes a series, what ends it, what is reported."""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.domain.retention.series import at, point

from backstay.domain import labels
from backstay.domain.retention.brakes import freeze
from backstay.domain.retention.judge import judge
from backstay.domain.retention.points import Point, Rules, Verdict
from backstay.domain.retention.shrinkage import Shrunk, accepted_sizes, report, shrunk

NOW = at("2026-11-22T12:00:00+00:00")
RULES = Rules(zone=NOW.tzinfo, last=1)  # type: ignore[arg-type]  # it is aware
DAY = timedelta(days=1)


def sized(*sizes: int | None, **more: int) -> list[Point]:
    """A good point a day, the newest today, whose dump `shop` has these sizes."""
    points = []
    for number, size in enumerate(sizes):
        taken = NOW - (len(sizes) - 1 - number) * DAY
        found = {"shop": size, **more} if size is not None else {}
        points.append(replace(point(f"p{number}", taken), sizes=found))
    return points


@pytest.mark.parametrize(
    ("sizes", "found"),
    [
        ((), None),
        ((100,), None),
        ((100, 50), None),
        ((100, 49), (49, 100)),
        ((100, 49, 49, 49), (49, 100)),
        ((100, 49, 48, 60), None),
        ((100, 10, 300), None),
        ((100, 60, 31, 16), None),
        ((100, None), None),
        ((100, 49, None), (49, 100)),
        ((0, 0), None),
        ((100, 0), (0, 100)),
    ],
)
def test_the_newest_dump_is_held_against_the_last_one_that_had_not_shrunk(
    sizes: tuple[int | None, ...], found: tuple[int, int] | None
) -> None:
    stopped = shrunk(sized(*sizes), {})

    assert (stopped and (stopped.size, stopped.before)) == found


def test_the_order_of_the_points_does_not_matter() -> None:
    points = sized(100, 20, 20)

    assert shrunk(points[::-1], {}) == shrunk(points, {}) is not None


def test_one_dump_of_several_is_enough_and_is_named() -> None:
    first, second = sized(100, 100, logs=80)
    second = replace(second, sizes={"shop": 100, "logs": 10})

    stopped = shrunk([first, second], {})

    assert stopped is not None
    assert stopped.why == "dump logs has 10, under half of the 80 before"


def test_a_dump_that_the_policy_has_no_more_freezes_nothing() -> None:
    first, second = sized(100, 100, logs=80)

    assert shrunk([first, replace(second, sizes={"shop": 100})], {}) is None


def formed(*dumps: tuple[str, int]) -> list[Point]:
    """As `sized`, with how each was written: `sql`, `sql+` (compressed), `custom`."""
    forms = [{"shop": form.replace("+", ", compressed")} for form, _ in dumps]
    points = sized(*(size for _, size in dumps))
    return [replace(p, forms=form) for p, form in zip(points, forms, strict=True)]


@pytest.mark.parametrize(
    ("dumps", "found"),
    [
        # Another form trips nothing, there and back, and each is held against its own.
        ([("sql", 100), ("sql+", 15)], None),
        ([("sql+", 15), ("sql", 100), ("sql+", 15)], None),
        ([("sql", 100), ("sql+", 15), ("sql", 100), ("sql+", 15)], None),
        ([("sql", 100), ("custom", 15)], None),
        ([("sql", 100), ("sql+", 15), ("sql+", 7)], (7, 15)),
        ([("sql", 100), ("sql+", 15), ("sql", 49)], (49, 100)),
        # The same data is never smaller uncompressed; other formats say nothing of it.
        ([("sql+", 100), ("sql", 49)], (49, 100)),
        ([("sql+", 100), ("sql", 49), ("sql", 49)], (49, 100)),
        ([("sql+", 100), ("sql", 49), ("sql", 60), ("sql", 30)], None),
        ([("sql+", 100), ("sql", 50), ("sql", 24)], (24, 50)),
        ([("custom+", 100), ("sql", 10)], None),
        # Another form does not end it, unless it is known to be as large as it was.
        ([("sql", 100), ("sql", 10), ("sql+", 9)], (10, 100)),
        ([("sql+", 100), ("sql+", 10), ("sql", 900), ("sql", 900)], (10, 100)),
        ([("sql+", 100), ("sql+", 10), ("sql", 40), ("sql", 60)], (40, 100)),
        ([("sql+", 100), ("sql+", 10), ("sql", 900), ("sql+", 90)], None),
        ([("sql+", 100), ("sql", 900), ("sql+", 10), ("sql", 800)], None),
        ([("sql+", 100), ("sql", 900), ("sql+", 10), ("sql", 90)], (90, 900)),
    ],
)
def test_a_dump_is_held_against_those_that_were_written_as_it_was(
    dumps: list[tuple[str, int]], found: tuple[int, int] | None
) -> None:
    stopped = shrunk(formed(*dumps), {})

    assert (stopped and (stopped.size, stopped.before)) == found


def test_what_a_person_accepts_after_a_change_of_form_ends_it() -> None:
    points = formed(("sql+", 100), ("sql+", 10), ("sql", 60))
    stopped = shrunk(points, {})
    assert stopped is not None

    assert shrunk(points, {"data": stopped.taken}) is None


@pytest.mark.parametrize("result", ["failed", "pending"])
def test_only_good_points_count(result: str) -> None:
    large, small = sized(100, 10)
    small = replace(small, labels={**small.labels, labels.RESULT: result})

    assert shrunk([large, small], {}) is None


def test_what_a_person_accepts_ends_it_whatever_is_swept_later() -> None:
    points = sized(100, 10, 11, 12)
    stopped = shrunk(points[:2], {})
    assert stopped is not None

    accepted = {"data": stopped.taken}

    assert shrunk(points[:2], accepted) is None
    assert shrunk(points, accepted) is None
    assert shrunk([points[0], *points[2:]], accepted) is None, "the accepted point was swept"
    later = replace(points[3], name="later", taken=NOW + DAY, sizes={"shop": 4})
    assert shrunk([*points, later], accepted) is not None, "it shrank again"
    assert shrunk(points, {"logs": stopped.taken}) is not None, "another claim was accepted"


def test_a_frozen_series_loses_its_marks_and_sweeps_and_nothing_else() -> None:
    overdue = replace(point("old", NOW - 9 * DAY, delete_after="2026-11-20"), sizes={"shop": 100})
    points = [overdue, *sized(100, 100, 10)]
    verdicts = judge(points, RULES, NOW)
    assert [v.sweep for v in verdicts] == [True, False, False, False]
    stopped = shrunk(points, {})
    assert stopped is not None

    frozen = [freeze(v, stopped.freezes) for v in verdicts]

    assert not any(v.sweep or labels.DELETE_AFTER in v.set_labels for v in frozen)
    assert not any(v.set_annotations for v in frozen)
    why = "its series is frozen: dump shop has 10, under half of the 100 before"
    assert frozen[0].reasons == (f"past its date 2026-11-20, but {why}",)
    assert frozen[1].reasons[-1] == f"kept by no rule, but not marked: {why}"
    assert frozen[3] == verdicts[3]


def test_a_verdict_that_neither_marks_nor_sweeps_stays_as_it_is() -> None:
    verdict = Verdict(sized(1)[0], set_labels={labels.DAILY: "2026-11-22"})

    assert freeze(verdict, Shrunk("data", "shop", 1, 9, NOW).freezes) == verdict


def test_the_command_of_the_message_accepts_it_and_keeps_what_was_accepted() -> None:
    stopped = shrunk(sized(100, 10), {})
    assert stopped is not None
    before = {"logs": NOW - DAY}

    brake = report([stopped], before, "team", "shop")

    assert brake is not None
    text, _, command = brake.message.partition("run: ")
    assert text.startswith("claim data: dump shop has 10, under half of the 100 before; ")
    words = shlex.split(command)
    assert words[:4] == ["kubectl", "annotate", "backuppolicy", "shop"]
    key, _, value = words[4].partition("=")
    assert key == labels.ACCEPT_SIZE
    assert accepted_sizes(value) == {**before, "data": stopped.taken}
    assert shrunk(sized(100, 10), accepted_sizes(value)) is None


def test_a_message_about_very_many_claims_has_room() -> None:
    found = [Shrunk(f"{'c' * 240}-{n}", "shop", 1, 9, NOW) for n in range(100)]

    brake = report(found, {}, "team", "shop")

    assert brake is not None
    assert "and 98 more claims" in brake.message
    assert len(brake.message) <= 4096


@pytest.mark.parametrize("text", [None, "", "data", "data@", "data@soon", "data@2026-11-22"])
def test_what_cannot_be_read_accepts_nothing(text: str | None) -> None:
    assert accepted_sizes(text) == {}
