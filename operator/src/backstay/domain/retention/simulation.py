"""A policy over years of virtual time: which recovery points there would be.

Invariants: points are judged, marked and swept by the same functions as the operator's, with its
grace; a pass is made wherever one could change anything (after each run, and at each moment when
a mark falls due), so more passes would not change the result; nothing is random but `fails`.

What is left out: a run takes no time, every good snapshot is ready at once, a failed run leaves a
failed snapshot that never gets ready, and nobody edits a label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

from backstay.domain import labels
from backstay.domain.labels import Result, Retain, RunType
from backstay.domain.retention.judge import judge, tiers_for_new
from backstay.domain.retention.points import Point, Rules
from backstay.domain.retention.series import GRACE

AGES: Final = tuple(
    (name, timedelta(days=days))
    for name, days in (
        ("1 day", 1), ("1 week", 7), ("1 month", 31), ("3 months", 92), ("1 year", 366),
        ("2 years", 731), ("5 years", 1827), ("10 years", 3653),
    )
)  # fmt: skip
_NAMESPACE, _CLAIM = "simulated", "claim"


@dataclass(frozen=True, slots=True)
class Gap:
    """How far apart the points of one range of ages lie."""

    age: str
    """Up to this age, from the range before on."""
    points: int
    largest: timedelta | None
    """The longest time of that range without a point, whole even if it reaches into the next
    range; None where even the oldest point is younger."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a simulation ended with."""

    end: datetime
    runs: int
    failed: int
    """Runs that failed."""
    swept: int
    good: tuple[Point, ...]
    """Those that exist at the end and can be restored, newest first."""
    leftovers: int
    """Failed snapshots that are still there."""
    gaps: tuple[Gap, ...]


def simulate(
    starts: Iterable[datetime], rules: Rules, end: datetime, fails: Callable[[], bool]
) -> Outcome:
    """Given the moments of the runs (aware, increasing, before `end`), the policy's rules and
    whether the next run fails, return what exists at `end`.
    """
    world = _World(rules)
    runs = failed = 0
    for start in starts:
        world.pass_until(start)
        runs += 1
        good = not fails()
        failed += not good
        world.run(start, runs, good=good)
        world.make_pass(start)
    world.pass_until(end)
    points = sorted(world.points, key=lambda p: p.order, reverse=True)
    kept = tuple(p for p in points if p.result is Result.GOOD)
    return Outcome(
        end=end,
        runs=runs,
        failed=failed,
        swept=world.swept,
        good=kept,
        leftovers=len(points) - len(kept),
        gaps=gaps([p.taken for p in kept], end),
    )


def gaps(taken: Sequence[datetime], end: datetime) -> tuple[Gap, ...]:
    """Given the moments of the points (newest first) and the end, return the largest gap at
    each age, up to the age of the oldest point.
    """
    if not taken:
        return ()
    found: list[Gap] = []
    younger = timedelta(0)
    edges = [end, *taken]
    for name, older in AGES:
        if end - taken[-1] <= younger:
            break
        spans = [
            after - before
            for after, before in zip(edges, taken, strict=False)
            if end - before > younger and end - after < older
        ]
        points = sum(1 for t in taken if younger < end - t <= older)
        if not found:  # a point of this very moment is of the first range
            points += sum(1 for t in taken if t == end)
        found.append(Gap(name, points, max(spans, default=None)))
        younger = older
    return tuple(found)


class _World:
    """The points of one series."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._passed = datetime.min.replace(tzinfo=UTC)
        self.points: list[Point] = []
        self.swept = 0

    def run(self, at: datetime, number: int, *, good: bool) -> None:
        """Make a point at that moment."""
        result = Result.GOOD if good else Result.FAILED
        born = Point(
            namespace=_NAMESPACE,
            name=f"run-{number:06d}",
            uid=f"{number}",
            resource_version="",
            claim=_CLAIM,
            taken=at,
            ready=good,
            labels={
                labels.TYPE: RunType.CRONJOB.value,
                labels.RETAIN: Retain.DAILY_WEEKLY_MONTHLY.value,
                labels.RESULT: result.value,
            },
        )
        if good:
            tiers = tiers_for_new(self.points, born, self._rules, at)
            born = replace(born, labels={**born.labels, **tiers})
        self.points.append(born)

    def make_pass(self, now: datetime) -> None:
        """Judge and carry out. One pass does it: a second at the same moment changes nothing."""
        self._passed = now
        verdicts = judge(self.points, self._rules, now)
        self.swept += sum(v.sweep for v in verdicts)
        self.points = [v.after for v in verdicts if not v.sweep]

    def pass_until(self, end: datetime) -> None:
        """Make a pass at each coming moment up to `end` at which a date falls due."""
        while (coming := self._next_due()) is not None and coming <= end:
            self.make_pass(coming)

    def _next_due(self) -> datetime | None:
        moments = (_due_at(p, self._rules.zone) for p in self.points)
        # One that was due and is still there waits for something else than time.
        return min((at for at in moments if at is not None and at > self._passed), default=None)


def _due_at(point: Point, zone: tzinfo) -> datetime | None:
    """The first whole second at which its date and its grace are past."""
    if point.delete_after is None:
        return None
    day: date = point.delete_after + timedelta(days=1)
    at = datetime.combine(day, time(), zone)
    if point.marked is not None:
        at = max(at, point.marked + GRACE + timedelta(seconds=1))
    return at
