"""What is left after a long time: whole histories of runs, edits, clock steps and passes."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.domain.retention.series import apply, point

from backstay.domain import labels
from backstay.domain.retention.judge import judge, tiers_for_new
from backstay.domain.retention.points import Point, Rules

VIENNA = ZoneInfo("Europe/Vienna")
APIA = ZoneInfo("Pacific/Apia")
DAY = timedelta(days=1)


def born(world: Sequence[Point], name: str, taken: datetime, rules: Rules) -> Point:
    new = point(name, taken, result="pending")
    given_ = tiers_for_new(world, new, rules, taken)
    return replace(new, labels={**new.labels, **given_, labels.RESULT: "good"})


def failed(name: str, taken: datetime) -> Point:
    return replace(point(name, taken, result="failed"), ready=False)


def expected_days(good: list[date], rules: Rules) -> set[date]:
    """The definition over plain dates of one good point a day, written on its own."""
    weeks: dict[tuple[int, int], date] = {}
    months: dict[str, date] = {}
    years: dict[int, date] = {}
    for day in sorted(good):
        weeks.setdefault(day.isocalendar()[:2], day)
        months.setdefault(day.isoformat()[:7], day)
        years.setdefault(day.year, day)

    def last(days: Sequence[date], count: int) -> set[date]:
        return set(days[-count:]) if count else set()

    return (
        last(sorted(good), rules.daily)
        | last(list(weeks.values()), rules.weekly)
        | last(list(months.values()), rules.monthly)
        | last(list(years.values()), rules.yearly)
        | {max(good)}
    )


@pytest.mark.parametrize(
    ("start", "days", "fails_every", "rules"),
    [
        (date(2025, 10, 18), 400, None, Rules(zone=VIENNA, daily=7, weekly=4, monthly=12)),
        (
            date(2023, 11, 30),
            1100,
            13,
            Rules(zone=APIA, daily=7, weekly=4, monthly=12, yearly=5, failed=3),
        ),
        (date(2020, 12, 20), 60, 3, Rules(zone=VIENNA, weekly=60, failed=1)),
        (date(2027, 12, 20), 90, None, Rules(zone=VIENNA)),
    ],
)
def test_daily_runs_leave_exactly_the_points_of_the_definition(
    start: date, days: int, fails_every: int | None, rules: Rules
) -> None:
    world: list[Point] = []
    good: list[date] = []
    bad: list[date] = []
    for number in range(days):
        day = start + number * DAY
        taken = datetime.combine(day, time(0, 32), tzinfo=rules.zone)
        if fails_every is not None and number % fails_every == 0:
            world.append(failed(f"f-{day}", taken))
            bad.append(day)
        else:
            world.append(born(world, f"g-{day}", taken, rules))
            good.append(day)
        world = apply(judge(world, rules, taken + timedelta(hours=6)))
    # Two days without a run: what is marked is swept.
    for later in (1, 2):
        world = apply(judge(world, rules, taken + later * DAY + timedelta(hours=6)))
    left = {f"g-{day}" for day in expected_days(good, rules)}
    left |= {f"f-{day}" for day in bad[len(bad) - min(rules.failed, len(bad)) :]}
    assert {p.name for p in world} == left


@pytest.mark.parametrize("passes_every_hours", [6, 24 * 9])
def test_how_often_a_pass_runs_does_not_change_what_is_left(passes_every_hours: int) -> None:
    rules = Rules(zone=VIENNA, daily=7, weekly=4, monthly=12)
    start = datetime(2026, 1, 1, 0, 32, tzinfo=VIENNA)
    world: list[Point] = []
    for number in range(60):
        taken = datetime.combine((start + number * DAY).date(), time(0, 32), tzinfo=VIENNA)
        world.append(born(world, f"g-{taken.date()}", taken, rules))
        for hour in range(24):
            if (number * 24 + hour) % passes_every_hours == 0:
                world = apply(judge(world, rules, taken + timedelta(hours=hour)))
    for later in (1, 2, 3):
        world = apply(judge(world, rules, taken + later * DAY))
    good = [(start + number * DAY).date() for number in range(60)]
    assert {p.name for p in world} == {f"g-{d}" for d in expected_days(good, rules)}


@dataclass
class World:
    """A series with a clock, and a memory of its own of what must never go wrong."""

    now: datetime = datetime(2026, 3, 27, 12, 0, tzinfo=VIENNA)
    rules: Rules | None = field(
        default_factory=lambda: Rules(zone=VIENNA, daily=2, weekly=1, failed=1)
    )
    points: list[Point] = field(default_factory=list)
    marked: dict[str, datetime] = field(default_factory=dict)
    number: int = 0

    def newest_good(self) -> Point | None:
        good = [p for p in self.points if p.labels.get(labels.RESULT) == "good" and p.ready]
        return max(good, key=lambda p: (p.taken, p.name), default=None)

    def run(self, kind: int) -> None:
        self.number += 1
        name, rules = f"p{self.number:03d}", self.rules
        if rules is None:
            return
        if kind == 0:
            self.points.append(failed(name, self.now))
        elif kind == 1:  # ready late: taken before the newest
            self.points.append(born(self.points, name, self.now - timedelta(hours=30), rules))
        else:
            self.points.append(born(self.points, name, self.now, rules))

    def edit(self, which: int, how: int) -> None:
        if not self.points:
            return
        index = which % len(self.points)
        old = self.points[index]
        changed = dict(old.labels)
        match how % 6:
            case 0:
                changed.pop(labels.DELETE_AFTER, None)
            case 1:
                changed[labels.DELETE_AFTER] = (self.now.date() - DAY).isoformat()
            case 2:
                changed[labels.HOLD] = "true"
            case 3:
                changed.pop(labels.HOLD, None)
            case 4:
                changed.pop(labels.DAILY, None)
            case _:
                changed[labels.DELETE_AFTER] = "soon"
        self.points[index] = replace(old, labels=changed)

    def judge(self) -> None:
        newest = self.newest_good()
        verdicts = judge(self.points, self.rules, self.now)
        for verdict in verdicts:
            name = verdict.point.name
            if verdict.sweep:
                assert verdict.point != newest
                assert labels.HOLD not in verdict.point.labels
                if verdict.point.marked_at is not None:
                    assert self.now - self.marked[name] > timedelta(hours=24)
            if labels.MARKED_AT in verdict.set_annotations:
                assert verdict.point != newest
                self.marked[name] = self.now
        self.points = apply(verdicts)
        again = judge(self.points, self.rules, self.now)
        assert [v for v in again if v.patches or v.sweep] == []


EDITED_RULES = [
    Rules(zone=VIENNA, daily=2, weekly=1, failed=1),
    Rules(zone=APIA, daily=1),
    Rules(zone=VIENNA, hourly=3, monthly=2, yearly=1),
    Rules(zone=VIENNA, last=2, within=timedelta(hours=30)),
    Rules(zone=VIENNA),
    Rules.keep_everything(APIA),
    None,
]
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["run", "run", "wait", "wait", "wait", "edit", "rules"]),
        st.integers(min_value=0, max_value=7),
        st.integers(min_value=0, max_value=7),
    ),
    min_size=15,
    max_size=40,
)
STEPS = [timedelta(hours=h) for h in (1, 6, 13, 24, 24, 49, 24 * 8, -30)]


@given(EVENTS)
@settings(max_examples=50)
def test_no_history_loses_the_newest_good_point_or_its_grace(
    events: list[tuple[str, int, int]],
) -> None:
    world = World()
    had_good = False
    for event, one, two in events:
        match event:
            case "run":
                world.run(one)
            case "wait":
                world.now += STEPS[one]
            case "edit":
                world.edit(one, two)
            case _:
                world.rules = EDITED_RULES[one % len(EDITED_RULES)]
        had_good = had_good or world.newest_good() is not None
        world.judge()
        assert (world.newest_good() is not None) is had_good
