"""A list of a repository beside the Backups, and the Backups that are made of it."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.repository_looks import answered
from tests.support.stored_points import ID, NOW, daily, foreign, hashed, run, said, stored

from backstay.api.backup import BackupPhase
from backstay.api.point import PointGone
from backstay.domain import labels, naming
from backstay.domain.errors import DataError
from backstay.domain.records.lifecycle import Run
from backstay.domain.stores.repository.imports import Place, Scope, imported
from backstay.domain.stores.repository.inventory import (
    Inventory,
    inventory_of,
    leftovers,
    mirrored,
    unknown,
)
from backstay.domain.stores.repository.listing import Snapshot, to_line
from backstay.domain.stores.repository.others import others_of
from backstay.domain.stores.repository.points import sort

PLACE = Place("team", "team-uid", "offsite", ID)
DAY = timedelta(days=1)


def listed(*snapshots: Snapshot, damaged: tuple[str, ...] = ()) -> Inventory:
    lines = [to_line(one) for one in snapshots]
    return inventory_of(lines, answered("Listed", snapshots=len(lines), damaged=list(damaged)))


def missing(found: Inventory, *runs: Run) -> dict[str, bool]:
    """By Backup that is to be shown otherwise: whether its point is missing."""
    return {
        r.name: bool(s.points[0].stored and s.points[0].stored.missing)
        for r, s in mirrored(found, runs, ID, NOW)
    }


def test_half_a_list_is_none() -> None:
    lines = [to_line(one) for one in stored("day1")]

    with pytest.raises(DataError, match="1 of 2 lines"):
        inventory_of(lines[:1], answered("Listed", snapshots=2))
    with pytest.raises(DataError):
        inventory_of(["{"], answered("Listed", snapshots=1))
    with pytest.raises(DataError):
        inventory_of(lines, answered("Listed"))


def test_points_that_are_there_are_shown_as_they_are() -> None:
    assert missing(listed(*stored("day2"), *stored("day1")), *daily(2)) == {}


@pytest.mark.parametrize("half", [0, 1])
def test_a_point_without_its_data_or_its_record_is_missing(half: int) -> None:
    left = [stored("day2")[half], *stored("day1")]

    assert missing(listed(*left), *daily(2)) == {"day2": True}


def test_what_cannot_be_read_is_there() -> None:
    left = (*stored("day1"), stored("day2")[0])

    assert missing(listed(*left, damaged=(hashed("record day2"),)), *daily(2)) == {}


def test_a_point_that_came_after_the_list_was_begun_is_not_missing_in_it() -> None:
    young = run("young", NOW - timedelta(minutes=4))
    running = run("running", NOW - DAY, phase=BackupPhase.UPLOADING)
    elsewhere = run("other", NOW - DAY, id="e" * 64)

    assert missing(listed(), young, running, elsewhere) == {}


def test_a_point_that_is_back_is_not_missing_any_more_whatever_was_said_of_it() -> None:
    for gone in (None, PointGone.MISSING, PointGone.ACCEPTED, PointGone.SWEPT):
        lost = run("day1", NOW - DAY, missing=True, gone=gone)

        assert missing(listed(*stored("day1")), lost) == {"day1": False}
        assert missing(listed(), lost) == {}


def test_the_ids_of_a_point_follow_tags_that_were_changed_by_hand() -> None:
    data, record = stored("day1")
    new_data = replace(data, id=hashed("new"), original=data.id, tags=(*data.tags, "mine"))
    new_record = replace(record, id=hashed("newer"), original=record.id)

    ((_, status),) = mirrored(listed(new_data, new_record), daily(1), ID, NOW)

    (entry,) = status.points
    assert entry.stored is not None
    assert (entry.stored.data, entry.stored.record) == (hashed("new"), hashed("newer"))
    assert (entry.ref, entry.stored.missing) == (hashed("new")[:8], False)


def test_unknown_is_what_no_backup_shows_and_no_backup_there_has_made() -> None:
    made = run("made", NOW - DAY)
    late = [
        replace(
            one,
            tags=tuple(
                t.replace("late-abcde", naming.run_name("made", made.uid)) for t in one.tags
            ),
        )
        for one in stored("late")
    ]
    found = listed(*stored("day1"), *stored("lost"), *late)

    assert [p.run for p in unknown(found, [*daily(1), made], ID)] == ["lost-abcde/data"]


def test_a_backup_is_made_as_its_record_says() -> None:
    points = sort(stored("night", NOW - DAY)).points

    ((body, status),), refused = imported(points, PLACE, Scope.OURS, [])

    assert refused == {}
    assert body["metadata"] == {
        "name": "night",
        "namespace": "team",
        "labels": {labels.POLICY: "shop"},
    }
    assert body["spec"] == {
        "policy": "shop",
        "trigger": "Imported",
        "scheduledFor": "2026-11-29T02:00:00Z",
    }
    assert (status.phase, status.taken) == (BackupPhase.COMPLETED, NOW - DAY)
    (entry,) = status.points
    assert (entry.source, entry.bytes, entry.taken_at) == ("data", 700, NOW - DAY)
    assert entry.stored is not None
    assert (entry.stored.repository, entry.stored.id) == ("offsite", ID)
    assert entry.stored.source.ids == ("claim-uid", "pv-1")
    assert entry.stored.labels[labels.RESULT] == "good"
    assert imported(points, PLACE, Scope.OURS, [])[0] == [(body, status)]


def test_the_points_of_one_run_become_one_backup() -> None:
    other = [
        replace(one, id=hashed(f"{one.id} files"), tags=tuple(map(_of_files, one.tags)))
        for one in stored("night", claim={**said("night")["claim"], "name": "files"})
    ]
    other[1] = replace(
        other[1],
        tags=tuple(f"data={other[0].id}" if t.startswith("data=") else t for t in other[1].tags),
    )

    ((_, status),), _ = imported(sort([*stored("night"), *other]).points, PLACE, Scope.OURS, [])

    assert [p.source for p in status.points] == ["data", "files"]


def _of_files(tag: str) -> str:
    return tag.replace("night-abcde/data", "night-abcde/files")


def test_where_its_name_is_taken_a_backup_gets_another_one_every_time_the_same() -> None:
    points = sort(stored("day1")).points

    ((body, _),), _ = imported(points, PLACE, Scope.OURS, daily(1))
    again, _ = imported(points, PLACE, Scope.OURS, daily(1))

    assert body["metadata"]["name"].startswith("day1-")
    assert again[0][0] == body


def test_what_only_a_forger_would_write_is_not_taken_over() -> None:
    wished = {
        labels.HOLD: "true",
        labels.DELETE_AFTER: "2020-01-01",
        labels.RESULT: "failed",
        labels.RETAIN: "days",
        labels.RETAIN_DAYS: "3",
    }

    ((_, status),), _ = imported(sort(stored("night", labels=wished)).points, PLACE, Scope.OURS, [])

    carried = status.points[0].stored.labels if status.points[0].stored else {}
    assert labels.HOLD not in carried
    assert labels.DELETE_AFTER not in carried
    assert (carried[labels.RESULT], carried[labels.RETAIN]) == ("good", "days")


@pytest.mark.parametrize("broken", [{"policy": ""}, {"policy": 7}, {"claim": None}, {"slot": "x"}])
def test_a_record_that_no_run_could_have_made_keeps_no_other_from_being_imported(
    broken: dict[str, Any],
) -> None:
    points = sort([*stored("bad", **broken), *stored("night")]).points

    made, refused = imported(points, PLACE, Scope.OURS, [])

    assert [body["metadata"]["name"] for body, _ in made] == ["night"]
    assert list(refused) == [hashed("record bad")]


@pytest.mark.parametrize(
    ("record", "scopes"),
    [
        ({}, {Scope.ALL, Scope.NAMESPACE, Scope.OURS}),
        ({"namespaceUid": "of another cluster"}, {Scope.ALL, Scope.NAMESPACE}),
        ({"namespace": "other", "namespaceUid": "x"}, {Scope.ALL}),
        ({"namespace": "other"}, {Scope.ALL}),
    ],
)
def test_points_of_others_in_the_same_repository_are_taken_over_only_where_that_is_meant(
    record: dict[str, Any], scopes: set[Scope]
) -> None:
    points = sort(stored("night", **record)).points

    assert {s for s in Scope if imported(points, PLACE, s, [])[0]} == scopes


def test_data_that_never_came_to_a_record_is_left_over_after_a_week() -> None:
    old, young = NOW - timedelta(days=8), NOW - timedelta(days=6)
    data = [
        stored("killed", old)[0],
        stored("late", young)[0],
        replace(stored("other", old)[0], host="elsewhere/data"),
        stored("lost", old)[0],
        *stored("whole", old),
        foreign(1, taken=old),
    ]
    lost = run("lost", old, missing=True)

    assert leftovers(listed(*data), [lost], "team", NOW) == [hashed("data killed")]


def test_others_are_shown_by_host_and_path_with_the_newest_first() -> None:
    every = [foreign(n, taken=NOW - n * DAY) for n in range(3)]
    every.append(foreign(9, host="team", taken=NOW - 9 * DAY))

    newest, oldest = others_of(every)

    assert (newest.host, newest.path, newest.snapshots) == ("volsync", "/data", 3)
    assert (newest.newest, newest.taken) == (hashed("foreign 0"), NOW)
    assert oldest.host == "team"


def test_a_thousand_points_are_read_and_imported_in_seconds() -> None:
    """Of CPU time, and a large multiple of what it takes."""
    lines = [to_line(one) for n in range(1000) for one in stored(f"run{n}")]
    began = time.process_time()

    found = inventory_of(lines, answered("Listed", snapshots=2000))
    new = unknown(found, [], ID)
    made, refused = imported(new, PLACE, Scope.OURS, [])

    assert (len(made), refused) == (1000, {})
    assert time.process_time() - began < 3
