"""A history of copies whose nodes' clocks say anything: what stays is no less than with right ones.

Days go by; each has a copy, and a pass of retention after it, as the operator makes them. The
clocks of nodes jump, disks are exchanged for a while, restores leave what was there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.sampling import searched

from backstay.domain import labels
from backstay.domain.retention.brakes import freeze
from backstay.domain.retention.judge import tiers_for_new
from backstay.domain.retention.points import Rules, Verdict
from backstay.domain.retention.series import GRACE
from backstay.domain.stores.copies.dates import Expected, made_at
from backstay.domain.stores.copies.judging import Copy, clock_trouble, grouped, judge_copies
from backstay.domain.stores.copies.kept import newest_good
from backstay.domain.stores.copies.points import STAMP_FORMAT, RollingPoint, Series, point_of
from backstay.domain.stores.copies.results import mirrored

START = datetime(2026, 11, 2, 0, 32, tzinfo=UTC)
SERIES = Series("shop", "uploads", "hostPath", "worker-1", "/srv/uploads")
DAY = timedelta(days=1)
RULES = Rules(zone=UTC, daily=3, weekly=2, last=1)


@dataclass(frozen=True, slots=True)
class Day:
    """What happens on one."""

    off: timedelta
    """How far the node's clock is ahead."""
    source: str = "this"
    restores: bool = False


offs = st.sampled_from([0, 0, 0, 13, -13, 24 * 400, -24 * 400, 24 * 30000]).map(
    lambda hours: timedelta(hours=hours)
)
days = st.lists(st.builds(Day, offs, st.sampled_from(["this"] * 4 + ["other"]), st.booleans()))


class Disk:
    """A destination, with the agent's and the operator's rules on it."""

    def __init__(self) -> None:
        self.points: list[RollingPoint] = []
        self.since: dict[str, datetime] = {}
        self.went: dict[str, datetime] = {}

    def copy(self, now: datetime, day: Day, run: str, *, aside: bool = False) -> None:
        expected = Expected(now, now + timedelta(minutes=10), now + DAY)
        newest = max(self.points, key=lambda p: p.order, default=None)
        made = made_at("n1", now + day.off, expected, newest.moment if newest else None)
        stamp, taken = made.moment.strftime(STAMP_FORMAT), made.moment
        while any(p.stamp == stamp for p in self.points):
            taken += timedelta(seconds=1)
            stamp = taken.strftime(STAMP_FORMAT)
        point = RollingPoint(
            uid=run,
            stamp=stamp,
            run=run,
            tree=run,
            taken=taken,
            series=SERIES,
            labels={labels.RETAIN: "daily_weekly_monthly"},
            annotations={labels.RESTORE_REQUEST: "uid"} if aside else {},
            entries=1,
            files=1,
            size=1,
            seq=newest.seq + 1 if newest else 1,
            source=(day.source,),
            clock=made.clock,
        )
        known = [point_of(p) for p in self.points]
        tiers = {} if aside else tiers_for_new(known, point_of(point), RULES, made.moment)
        good = {**point.labels, **tiers, labels.RESULT: "good"}
        self.points.append(replace(point, labels=good))
        self.since[run] = now

    def retain(self, now: datetime) -> None:
        copies = []
        for point in self.points:
            status = mirrored(point).rolling
            assert status is not None
            copies.append(Copy(point_of(point), status, self.since[point.uid]))
        found = judge_copies(grouped(copies, SERIES, (), now), RULES, now)
        if trouble := clock_trouble(copies, now):
            found = {name: freeze(v, trouble) for name, v in found.items()}
        newest = newest_good(self.points)
        self.points = [
            _after(point, found[point.stamp])
            for point in self.points
            if not self._goes(point, found[point.stamp], newest, now)
        ]

    def _goes(
        self, point: RollingPoint, verdict: Verdict, newest: str | None, now: datetime
    ) -> bool:
        if not verdict.sweep or point.uid == newest:
            return False
        self.went[point.uid] = now
        return True

    @property
    def runs(self) -> set[str]:
        return {p.run for p in self.points if p.is_real}


def _after(point: RollingPoint, verdict: Verdict) -> RollingPoint:
    kept = {k: v for k, v in point.labels.items() if k not in verdict.remove_labels}
    notes = {k: v for k, v in point.annotations.items() if k not in verdict.remove_annotations}
    return replace(
        point,
        labels=kept | dict(verdict.set_labels),
        annotations=notes | dict(verdict.set_annotations),
    )


def lived(history: list[Day]) -> tuple[Disk, list[set[str]]]:
    """Live through a history; return the disk and what there was at the end of each day."""
    disk, seen = Disk(), []
    for number, day in enumerate(history):
        now = START + number * DAY
        if day.restores:
            disk.copy(now, day, f"before-{number}", aside=True)
        disk.copy(now + timedelta(minutes=1), day, f"run-{number}")
        disk.retain(now + timedelta(minutes=2))
        seen.append(disk.runs)
    return disk, seen


@searched(150)
@given(days)
def test_wrong_clocks_other_disks_and_restores_take_nothing_away(history: list[Day]) -> None:
    proper = [Day(timedelta(0)) for _ in history]
    disk, there = lived(history)
    _, wanted = lived(proper)

    for number, (runs, right) in enumerate(zip(there, wanted, strict=True)):
        assert right <= runs, f"day {number}"
    for run, at in disk.went.items():
        assert at - disk.since[run] > GRACE


@settings(deadline=None, max_examples=50)
@given(st.lists(st.builds(Day, offs), min_size=1), st.integers(1, 12))
def test_what_was_not_marked_when_the_source_was_replaced_stays(
    before: list[Day], more: int
) -> None:
    disk, _ = lived(before)
    unmarked = {p.run for p in disk.points if labels.MARKED_AT not in p.annotations}

    disk, _ = lived([*before, *[Day(timedelta(0), source="new")] * more])

    assert unmarked <= disk.runs


@settings(deadline=None, max_examples=50)
@given(days.filter(bool))
def test_every_copy_is_dated_on_its_own_day_and_the_last_made_is_the_newest(
    history: list[Day],
) -> None:
    disk, _ = lived(history)
    ordered = sorted(disk.points, key=lambda p: p.order)
    assert [p.run for p in ordered] == [p.run for p in disk.points]
    for point in disk.points:
        number = int(point.run.rpartition("-")[2])
        assert point.moment.date() == (START + number * DAY).date()
    assert newest_good(disk.points) == f"run-{len(history) - 1}"
