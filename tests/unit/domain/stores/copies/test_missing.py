"""A list that misses more copies than a person would remove: nothing is taken for gone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests.support.planned import planned_copies

from backstay.api.backup import BackupPhase, BackupSpec, BackupStatus, Trigger
from backstay.api.common import changed
from backstay.api.plan import RunPlan
from backstay.api.rolling import PlannedCopy, PlannedRolling, Rolling
from backstay.api.rolling_status import CopiesStatus
from backstay.domain import labels
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention import brakes, missing
from backstay.domain.retention.points import Rules
from backstay.domain.stores.copies import job_outcomes, series, upkeep
from backstay.domain.stores.copies.chores import Verb
from backstay.domain.stores.copies.points import RollingPoint, Series
from backstay.domain.stores.copies.results import mirrored
from backstay.domain.stores.copies.seen import Seen
from backstay.domain.stores.copies.series import Kept
from backstay.domain.subject import Subject

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SERIES = Series("shop", "uploads", "hostPath", "worker-1", "/srv/uploads")
COPY = PlannedCopy(node="worker-1", path="/srv/uploads")
ROLLING = Rolling.model_validate({"destination": {"claim": {"name": "nfs"}}})
POLICY = {"metadata": {"name": "uploads", "namespace": "shop", "generation": 1}}


def point(day: int) -> RollingPoint:
    return RollingPoint(
        uid=f"uid-{day}",
        stamp=f"2026-11-{day:02}T003205Z",
        run=f"r{day}",
        tree=f"r{day}",
        taken=datetime(2026, 11, day, 0, 32, 5, tzinfo=UTC),
        series=SERIES,
        labels={labels.RESULT: "good", labels.RETAIN: "daily_weekly_monthly"},
        annotations={},
        entries=3,
        files=2,
        size=100,
    )


def run(day: int, **rolling: Any) -> Run:
    entry = changed(mirrored(point(day)), source=COPY.series)
    assert entry.rolling is not None
    entry = changed(entry, rolling=changed(entry.rolling, **rolling))
    status = BackupStatus(
        phase=BackupPhase.COMPLETED,
        attempt=1,
        plan=RunPlan(
            zone="UTC",
            claims=(),
            take_timeout=ROLLING.start_timeout,
            ready_timeout=ROLLING.max_duration,
            retries=0,
            rolling=PlannedRolling(copies=(COPY,), settings=ROLLING),
        ),
        points=(entry,),
    )
    metadata = {"name": f"uploads-{day:02}", "namespace": "shop", "uid": f"backup-{day}"}
    spec = BackupSpec(policy="uploads", trigger=Trigger.SCHEDULED, scheduled_for=NOW)
    return Subject({"metadata": metadata}, spec, status)


def kept_of(runs: list[Run]) -> Kept:
    (kept,) = series.kept_of("shop", "uploads", runs, [(COPY, ROLLING)])
    return kept


def seen_of(runs: list[Run], **more: Any) -> Seen:
    rules = Rules(zone=ZoneInfo("UTC"), last=1)
    kept = [kept_of(runs)]
    return Seen(now=NOW, rules=rules, kept=kept, finished=runs, policy=POLICY, **more)


@pytest.mark.parametrize(
    ("known", "found", "held"),
    [(1, 0, True), (3, 0, True), (3, 1, False), (9, 6, False), (9, 5, True), (20, 14, False)],
)
def test_a_list_that_misses_too_many_takes_none_for_gone(
    known: int, found: int, held: bool
) -> None:
    kept = kept_of([run(day) for day in range(1, known + 1)])
    there = [point(day) for day in range(1, found + 1)]

    answered, foreign = job_outcomes.after_list(kept, there)

    shown = [status.points[0].rolling for _, status in answered.shown]
    assert len(shown) == known - found
    assert {(c.missing, c.gone) for c in shown if c is not None} == {(held, not held)}
    assert foreign == []


def test_a_point_that_is_found_again_is_missed_no_more() -> None:
    kept = kept_of([run(1, missing=True), run(2)])

    answered, _ = job_outcomes.after_list(kept, [point(1), point(2)])

    ((_, status),) = answered.shown
    assert status.points[0].rolling is not None
    assert not status.points[0].rolling.missing


def test_nothing_is_decided_on_a_series_that_misses_points_but_a_request_holds_what_is_there() -> (
    None
):
    runs = [run(day, missing=day < 5) for day in range(1, 10)]
    look = CopiesStatus(source=COPY.series, listed_at=NOW, scrubbed_at=NOW)
    asked = seen_of(
        runs,
        looks={COPY.series: look},
        requests=frozenset({"restore"}),
        wanted={
            (name, COPY.series): frozenset({"restore"}) for name in ("uploads-01", "uploads-09")
        },
    )

    plan = planned_copies(asked)

    (chore,) = upkeep.look(asked).chores
    assert chore.verb is Verb.RELABEL
    (change,) = chore.changes
    assert (change.stamp, dict(change.labels)) == (point(9).stamp, {})
    assert change.annotations == {labels.IN_USE: "restore"}
    assert plan.removable == []


def test_what_is_released_is_gone_and_another_plan_releases_nothing() -> None:
    runs = [run(day, missing=True) for day in range(1, 5)]
    plan = planned_copies(seen_of(runs))
    reported = next(c for c in plan.conditions or () if c.type == "CopiesMissing")
    assert (reported.status, reported.reason) == ("True", "NotFound")
    assert "4 of 4" in reported.message
    release = reported.message.split(f"{labels.RELEASE_RETENTION}=")[1].split()[0]

    other = planned_copies(seen_of(runs, released=frozenset({"0123456789"})))
    assert other.removable == []
    done = planned_copies(seen_of(runs, released=frozenset({release}), conditions=plan.conditions))

    assert [status.points[0].rolling.gone for _, status in done.shown if status.points[0].rolling]
    assert [r.name for r in done.removable] == [r.name for r in runs]
    over = next(c for c in done.conditions or () if c.type == "CopiesMissing")
    assert over.status == "False"
    again = planned_copies(seen_of([*runs, run(9, missing=True)], released={release}))
    assert again.removable == []


def test_what_retention_may_mark_is_no_word_on_what_is_missing() -> None:
    """The same points: one annotation names both kinds of plan."""
    runs = [run(day) for day in range(1, 9)]
    kept = replace(kept_of(runs))
    _, held = upkeep.judged(seen_of(runs), kept)
    assert held is not None
    lost = [run(day, missing=day < 8) for day in range(1, 9)]
    assert planned_copies(seen_of(lost, released=frozenset({held.plan}))).removable == []


def test_the_messages_name_the_remedy() -> None:
    held = [brakes.Held(claim="data", marks=2, size=2, plan="abc")]
    reported = missing.missing_copies(held, "shop", "uploads")
    assert reported is not None
    assert "mount" in reported.message
    assert reported.message.endswith(f"uploads {labels.RELEASE_RETENTION}=abc --overwrite -n shop")
    assert missing.missing_copies([], "shop", "uploads") is None
