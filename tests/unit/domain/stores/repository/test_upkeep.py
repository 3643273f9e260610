"""Retention of points in repositories: what Backups and conditions are to show."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from tests.support.stored_points import NOW, daily, ready, run, says, seen

from backstay.api.backup import BackupPhase
from backstay.api.point import PointGone, PointStatus
from backstay.domain import labels
from backstay.domain.objects import Obj
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention.brakes import Brake
from backstay.domain.stores.repository.plan import RepositoryPlan
from backstay.domain.subject import Subject
from backstay.domain.upkeep import Plan, Seen, plan

STORES = [RepositoryPlan()]
DAY = timedelta(days=1)


def passes(look: Seen, *, days: int = 0) -> tuple[list[Run], Plan]:
    """So many daily passes, each on what the one before has written; the last plan besides."""
    runs = list(look.runs)
    found = plan(look, STORES)
    for day in range(days + 1):
        found = plan(_at(look, runs, day), STORES)
        shown = {r.uid: status for r, status in found.shown}
        runs = [
            Subject(r.obj, r.spec, shown.get(r.uid, r.status))
            for r in runs
            if r.name not in {gone.name for gone in found.removable}
        ]
    return runs, found


def _at(look: Seen, runs: list[Run], day: int) -> Seen:
    return Seen(
        now=look.now + day * DAY,
        place=look.place,
        policy=look.policy,
        spec=look.spec,
        runs=runs,
        requests=look.requests,
        repositories=look.repositories,
        clock=look.clock,
    )


def _taken(run: Run) -> datetime:
    taken = run.status.points[0].taken_at
    assert taken is not None
    return taken


def announced(runs: list[Run]) -> list[str]:
    return [r.name for r in runs if r.status.points[0].gone is PointGone.SWEPT]


def entry_of(runs: list[Run], name: str) -> PointStatus:
    return next(r for r in runs if r.name == name).status.points[0]


def condition(found: Plan, kind: str) -> tuple[str, str, str]:
    for one in found.conditions or ():
        if one.type == kind:
            return one.status, one.reason, one.message
    return "", "", ""


def test_what_no_rule_keeps_is_marked_first_and_announced_when_its_grace_is_over() -> None:
    runs, found = passes(seen(daily(5)))

    marked = entry_of(runs, "day5")
    assert marked.stored is not None
    assert marked.stored.labels[labels.DELETE_AFTER] == "2026-11-30"
    assert labels.MARKED_AT in marked.stored.annotations
    assert announced(runs) == []
    assert found.items["Repository"] == []

    runs, found = passes(seen(daily(5)), days=2)
    assert announced(runs) == ["day5", "day4"]
    (item,) = found.items["Repository"]
    assert item.acts
    assert not item.patches


def test_a_second_pass_at_the_same_moment_changes_nothing() -> None:
    look = seen(daily(5))
    runs, _ = passes(look, days=2)

    again = plan(_at(look, runs, 2), STORES)

    assert (again.conditions, again.shown, again.removable) == (None, [], [])


def test_the_newest_good_point_stays_whatever_a_date_says() -> None:
    date = {labels.DELETE_AFTER: "2026-11-01"}
    runs, _ = passes(seen([run("only", NOW - 9 * DAY, carried=date)]), days=3)

    assert announced(runs) == []


def test_the_newest_point_in_which_nothing_is_missing_stays_beside_newer_ones() -> None:
    whole, *partial = daily(4)
    runs = [whole, *(run(r.name, _taken(r), unreadable=3) for r in partial)]

    after, _ = passes(seen(runs, retention={"last": 1}), days=3)

    assert announced(after) == ["day3", "day2"]


def test_a_point_for_a_number_of_days_goes_when_they_are_over() -> None:
    words = {labels.RETAIN: "days", labels.RETAIN_DAYS: "4", labels.RESULT: "good"}
    adhoc = run("adhoc", NOW - 3 * DAY, labels=words)

    runs, _ = passes(seen([adhoc, *daily(2)], retention={"last": 1}))
    assert next(r for r in runs if r.name == "adhoc").status.until == "until 12-01"

    after, _ = passes(seen([adhoc, *daily(2)], retention={"last": 1}), days=2)
    assert announced(after) == ["day2", "adhoc"] or announced(after) == ["adhoc", "day2"]


@pytest.mark.parametrize("carried", [{labels.HOLD: "true"}, {labels.HOLD: "yes"}])
def test_a_hold_on_the_backup_holds_its_point(carried: dict[str, str]) -> None:
    first, *others = daily(5)
    held = run("day5", NOW - 5 * DAY, carried=carried)

    runs, found = passes(seen([held, *others]), days=3)

    assert announced(runs) == ["day4"]
    assert next(r for r in runs if r.name == first.name).status.until == "held"
    assert found.items["Repository"]


def test_what_is_held_after_it_was_announced_is_taken_back() -> None:
    look = seen(daily(5))
    runs, _ = passes(look, days=2)
    held = [
        Subject(
            {"metadata": {**r.obj["metadata"], "labels": {labels.HOLD: "true"}}}, r.spec, r.status
        )
        if r.name == "day5"
        else r
        for r in runs
    ]

    found = plan(_at(look, held, 2), STORES)

    (taken_back,) = [status for r, status in found.shown if r.name == "day5"]
    assert (taken_back.points[0].gone, taken_back.points[0].gone_at) == (None, None)


def test_nothing_is_taken_back_while_a_job_may_be_forgetting_it() -> None:
    look = seen(daily(5))
    runs, _ = passes(look, days=2)
    busy = seen(runs, repository=ready(status={"work": "Maintain"}), retention={"last": 9})

    found = plan(_at(busy, runs, 2), STORES)

    assert all(s.points[0].gone is PointGone.SWEPT for r, s in found.shown if r.name == "day5")


def test_too_many_at_once_are_held_until_a_person_releases_them() -> None:
    runs, found = passes(seen(daily(20), retention={"last": 1}), days=3)

    status, reason, message = condition(found, "RetentionHeld")
    assert announced(runs) == []
    if not status:  # it stood after the first pass already
        first = plan(seen(daily(20), retention={"last": 1}), STORES)
        status, reason, message = condition(first, "RetentionHeld")
    assert (status, reason) == ("True", "MassMark")
    hash = message.split("release-retention=")[1].split()[0]

    runs, _ = passes(
        seen(daily(20), retention={"last": 1}, notes={labels.RELEASE_RETENTION: hash}), days=3
    )
    assert len(announced(runs)) == 19


BRAKES: list[tuple[Obj, str]] = [
    (ready(spec={"access": "AppendOnly"}), "AppendOnly"),
    (ready(status={"conditions": [says("Checked", "False", "Damaged")]}), "RepositoryDamaged"),
    (
        ready(
            status={
                "conditions": [says("Maintained", "False", "ReadOnly")],
                "maintainedAt": "2026-11-30T06:00:00Z",
            }
        ),
        "ReadOnly",
    ),
    (ready(status={"id": "f" * 64}), "RepositoryReplaced"),
    (
        {**ready(), "status": {"id": ready()["status"]["id"]}},
        "RepositoryNotReady",
    ),
    ({**ready(), "metadata": {"name": "offsite", "deletionTimestamp": "x"}}, "RepositoryNotFound"),
]


@pytest.mark.parametrize(("repository", "reason"), BRAKES)
def test_what_the_repository_cannot_release_is_neither_marked_nor_announced(
    repository: Obj, reason: str
) -> None:
    look = seen(daily(5), repository=repository)

    runs, _ = passes(look)
    found = plan(look, STORES)

    assert announced(runs) == []
    stored = entry_of(runs, "day5").stored
    assert stored is not None
    assert labels.DELETE_AFTER not in stored.labels
    assert condition(found, "RetentionHeld")[:2] == ("True", reason)


def test_of_a_repository_that_keeps_what_would_stay_anyway_nothing_is_said() -> None:
    look = seen(daily(2), repository=ready(spec={"access": "AppendOnly"}))

    assert condition(plan(look, STORES), "RetentionHeld") == ("", "", "")


def test_append_only_with_a_secret_for_maintenance_is_kept_by_rules() -> None:
    spec = {"access": "AppendOnly", "maintenanceSecretRef": {"name": "admin"}}

    runs, _ = passes(seen(daily(5), repository=ready(spec=spec)), days=2)

    assert announced(runs) == ["day5", "day4"]


def test_while_our_clock_is_off_nothing_is_marked_nor_announced() -> None:
    off = Brake("ClockSkew", "the clock is off")

    runs, _ = passes(seen(daily(5), clock=off), days=3)

    assert announced(runs) == []


def test_a_point_that_a_list_has_not_shown_is_reported_until_a_person_accepts_it() -> None:
    lost = run("day5", NOW - 5 * DAY, missing=True)
    others = daily(3)
    look = seen([lost, *others])

    found = plan(look, STORES)
    runs, reported = passes(look, days=1)

    (status,) = [s for r, s in found.shown if r.name == "day5"]
    assert (status.phase, status.points[0].gone) == (BackupPhase.GONE, PointGone.MISSING)
    assert "does not show its snapshots" in (status.points[0].message or "")
    kind, reason, message = condition(reported, "PointsMissing")
    assert (kind, reason) == ("True", "NotFound")
    hash = message.split("release-retention=")[1].split()[0]

    after, _ = passes(
        seen(runs, notes={labels.RELEASE_RETENTION: hash}),
        days=1,
    )
    assert [r.name for r in after] == ["day3", "day2", "day1"]


def test_a_missing_point_that_is_listed_again_is_as_it_was() -> None:
    back = run("day5", NOW - 5 * DAY, gone=PointGone.MISSING, gone_at=NOW, message="why")

    runs, _ = passes(seen([back, *daily(2)]))

    entry = entry_of(runs, "day5")
    assert (entry.gone, entry.gone_at, entry.message) == (None, None, None)


def test_what_another_cluster_removed_from_a_read_only_repository_is_no_loss() -> None:
    lost = run("day5", NOW - 5 * DAY, missing=True)
    spec = {"access": "ReadOnly", "initialise": "Never"}

    runs, found = passes(seen([lost, *daily(2)], repository=ready(spec=spec)), days=1)

    assert [r.name for r in runs] == ["day2", "day1"]
    assert condition(found, "PointsMissing")[0] != "True"


def test_a_forgotten_point_leaves_with_its_backup() -> None:
    gone = run("day5", NOW - 5 * DAY, missing=True, gone=PointGone.SWEPT, gone_at=NOW)

    runs, _ = passes(seen([gone, *daily(2)]))

    assert [r.name for r in runs] == ["day2", "day1"]


def test_points_of_another_repository_under_that_name_are_a_series_of_their_own() -> None:
    before = [run(f"old{n}", NOW - n * DAY, id="e" * 64) for n in range(10, 14)]

    runs, _ = passes(seen([*before, *daily(5)]), days=2)

    assert announced(runs) == ["day5", "day4"]


def test_without_its_policy_nothing_but_a_date_of_a_person_takes_a_point() -> None:
    dated = run("day9", NOW - 9 * DAY, carried={labels.DELETE_AFTER: "2026-11-25"})
    look = seen([dated, *daily(5)], policy=None, spec=None)

    runs, _ = passes(look, days=2)

    assert announced(runs) == ["day9"]


def test_a_restore_keeps_the_point_that_it_names_and_what_it_may_choose() -> None:
    request = {
        "metadata": {"name": "back", "namespace": "team", "uid": "r"},
        "spec": {"from": {"backup": "day5"}},
    }
    runs, _ = passes(seen(daily(5), requests=[request]), days=2)
    assert announced(runs) == ["day4"]

    request["spec"] = {"from": {"repository": {"name": "offsite"}}}
    runs, _ = passes(seen(daily(5), requests=[request]), days=2)
    assert announced(runs) == []
