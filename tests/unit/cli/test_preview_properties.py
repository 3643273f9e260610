"""What holds for the preview of any series whatever."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.test_retention_properties import BYTES_PER_POINT, NOW, Choices, point_of
from tests.property.test_retention_properties import ZONES as SOME_ZONES
from tests.unit.cli.running import FOREIGN, foreign

from backstay.domain import labels, objects, preview
from backstay.domain.calendar import Tier, period_of
from backstay.domain.objects import Obj
from backstay.domain.preview import Preview
from backstay.domain.retention.judge import judge
from backstay.domain.retention.points import Point, Rules

SEARCH: Final = settings(deadline=None, derandomize=True, max_examples=60)
POINTS_MAX: Final = 12
WORLDS = st.binary(min_size=8, max_size=8 + POINTS_MAX * BYTES_PER_POINT)
FOREIGN_DATES = ["", "never", "2025-12-01", "2026-01-02", "2026-01-03", "2027-01-01"]
FOREIGN_TIERS = {Tier.DAILY: "daily", Tier.WEEKLY: "weekly", Tier.MONTHLY: "monthly"}
NOTE = re.compile(r"annotation (\S+?)(?:=(\S+))? is (set|removed)")


def rules_from(choices: Choices) -> Rules:
    counts = [0, 1, 1, 2, 3, 7]
    return Rules(
        zone=choices.pick(SOME_ZONES),
        daily=choices.pick(counts),
        weekly=choices.pick(counts),
        monthly=choices.pick(counts),
        failed=choices.pick([0, 1, 2]),
    )


def carrier_of(point: Point) -> Obj:
    """The snapshot that the point would be read from."""
    notes = {labels.MARKED_AT: point.marked_at, labels.IN_USE: point.in_use}
    metadata: Obj = {
        "namespace": point.namespace,
        "name": point.name,
        "uid": point.uid,
        "resourceVersion": "1",
        "creationTimestamp": point.taken.isoformat(),
        "labels": {**point.labels, labels.PVC: point.claim},
        "annotations": {k: v for k, v in notes.items() if v is not None},
    }
    if point.deleting:
        metadata["deletionTimestamp"] = NOW.isoformat()
    return {"metadata": metadata, "status": {"readyToUse": point.ready}}


def ours(data: bytes) -> tuple[list[Point], Rules]:
    choices = Choices(data)
    rules = rules_from(choices)
    count = len(data[8:]) // BYTES_PER_POINT
    return [point_of(f"p{i}", choices) for i in range(count)], rules


def theirs(data: bytes) -> tuple[list[Obj], Rules]:
    choices = Choices(data)
    rules = rules_from(choices)
    found = []
    for i in range(len(data[8:]) // BYTES_PER_POINT):
        taken = NOW - timedelta(
            days=choices.pick([0, 0, 1, 1, 2, 3, 8, 20, 40, 370]),
            minutes=6 * choices.pick(range(250)),
        )
        extra = {
            key: period_of(tier, taken, SOME_ZONES[0]).value
            for tier, key in FOREIGN_TIERS.items()
            if choices.one_in(2)
        }
        if choices.one_in(6):
            extra["weekly"] = choices.pick(["2026-w01", "w53", "?", ""])
        if choices.one_in(3):
            extra["delete_after"] = choices.pick(FOREIGN_DATES)
        retain = choices.pick(["daily_weekly_monthly", "daily_weekly_monthly", "days", "?", None])
        found.append(
            foreign(
                f"p{i}",
                taken.isoformat(),
                ready=not choices.one_in(4),
                claim=choices.pick(["data", "data", "data", "logs", None]),
                namespace=choices.pick(["shop", "shop", "wiki"]),
                retain=retain,
                **extra,
            )
        )
    return found, rules


def applied(snapshots: Sequence[Obj], lines: Sequence[Preview]) -> list[Obj]:
    """The world after what the lines say was done, annotations as their notes say."""
    left = []
    for snapshot, line in zip(snapshots, lines, strict=True):
        if line.delete:
            continue
        changed = copy.deepcopy(snapshot)
        carried = changed["metadata"].setdefault("labels", {})
        notes = changed["metadata"].setdefault("annotations", {})
        for key in line.remove_labels:
            del carried[key]
        carried.update(line.set_labels)
        for note in line.notes:
            reported = NOTE.fullmatch(note)
            assert reported is not None
            if reported[3] == "set":
                notes[reported[1]] = reported[2]
            else:
                del notes[reported[1]]
        left.append(changed)
    return left


def is_quiet(line: Preview) -> bool:
    return not (line.set_labels or line.remove_labels or line.delete)


@SEARCH
@given(WORLDS)
def test_the_preview_says_what_judge_says(data: bytes) -> None:
    points, rules = ours(data)
    lines = preview.of_unwatched([carrier_of(p) for p in points], rules, NOW)
    verdicts = judge(points, rules, NOW)
    assert [line.name for line in lines] == [v.point.name for v in verdicts]
    for line, verdict in zip(lines, verdicts, strict=True):
        assert line.delete == verdict.sweep
        assert line.reasons == verdict.reasons
        after = {k: v for k, v in verdict.point.labels.items() if k not in line.remove_labels}
        assert {**after, **line.set_labels} == verdict.after.labels


@SEARCH
@given(WORLDS)
def test_what_was_done_is_not_asked_for_again(data: bytes) -> None:
    points, rules = ours(data)
    before = [carrier_of(p) for p in points]
    after = applied(before, preview.of_unwatched(before, rules, NOW))
    again = preview.of_unwatched(after, rules, NOW)
    # one that is being deleted anyway stays due until it is gone
    going = {objects.name(s) for s in after if "deletionTimestamp" in s["metadata"]}
    assert all(is_quiet(line) for line in again if line.name not in going)


@SEARCH
@given(WORLDS)
def test_adopted_snapshots_need_no_second_pass_either(data: bytes) -> None:
    before, rules = theirs(data)
    after = applied(before, preview.of_adopted(before, rules, NOW, FOREIGN))
    assert all(is_quiet(line) for line in preview.of_adopted(after, rules, NOW, FOREIGN))


@SEARCH
@given(WORLDS)
def test_adopted_snapshots_each_have_one_line_with_a_reason_and_their_own_labels(
    data: bytes,
) -> None:
    snapshots, rules = theirs(data)
    lines = preview.of_adopted(snapshots, rules, NOW, FOREIGN)
    assert [(line.namespace, line.name) for line in lines] == [
        (objects.namespace(s), objects.name(s)) for s in snapshots
    ]
    assert all(line.reasons for line in lines)
    keys = [key for line in lines for key in (*line.set_labels, *line.remove_labels)]
    assert all(key.startswith(FOREIGN) for key in keys)


@SEARCH
@given(WORLDS)
def test_a_newest_ready_adopted_snapshot_is_never_deleted(data: bytes) -> None:
    snapshots, rules = theirs(data)
    lines = preview.of_adopted(snapshots, rules, NOW, FOREIGN)
    newest: dict[tuple[str, str], Preview] = {}
    for snapshot, line in zip(snapshots, lines, strict=True):
        if not snapshot["status"]["readyToUse"] or line.taken is None:
            continue
        best = newest.get((line.namespace, line.claim))
        if best is None or (best.taken, best.name) < (line.taken, line.name):
            newest[line.namespace, line.claim] = line
    assert not any(line.delete for line in newest.values())
