"""The retention pass over a policy: patches, mirrors and sweeps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any

import pytest
from tests.support.builders import NOW, content, record, snapshot
from tests.support.planned import planned

from backstay.domain import labels, objects
from backstay.domain.objects import Obj
from backstay.domain.retention.brakes import Brake
from backstay.domain.retention.points import Rules
from backstay.domain.stores.snapshots import upkeep
from backstay.domain.stores.snapshots.content import MIRRORED_NOTES, Patch
from backstay.domain.stores.snapshots.deletion import Step
from backstay.domain.stores.snapshots.judging import Seen

RULES = Rules(zone=UTC, daily=2, failed=1)
PREFIX = labels.PREFIX
TODAY, OLD = "2026-11-22T00:32:00Z", "2026-11-18T00:32:00Z"
OVERDUE = {"delete-after": "2026-11-20"}


def seen(
    *snapshots: Obj,
    contents: Iterable[Obj] | None = None,
    rules: Rules | None = RULES,
    **values: Any,
) -> Seen:
    bound = [content(s) for s in snapshots] if contents is None else contents
    defaults: dict[str, Any] = {"running": frozenset(), "requests": frozenset(), "now": NOW}
    return Seen(
        rules=rules,
        snapshots=snapshots,
        contents={objects.name(c): c for c in bound},
        **defaults | values,
    )


def by_name(world: Seen) -> dict[str, upkeep.Item]:
    return {item.point.name: item for item in planned(world).items}


def mirrored(of: Obj, *, policy: str = "Retain", **notes: str) -> Obj:
    """Its content as an earlier pass left it."""
    made = content(of, policy=policy, **notes)
    carried = {k: v for k, v in objects.annotations(of).items() if k in MIRRORED_NOTES}
    if labels.MARKED_AT in objects.annotations(of):
        carried[labels.MARKED_AT] = objects.annotations(of)[labels.MARKED_AT]
    made["metadata"]["annotations"] |= carried
    made["metadata"]["labels"] |= objects.labels(of)
    return made


def apply(patch: Patch | None, to: Obj) -> Obj:
    """The object after the patch, under a new resourceVersion."""
    if patch is None:
        return to
    metadata = {**to["metadata"], "resourceVersion": "2"}
    for key, changes in (("labels", patch.labels), ("annotations", patch.annotations)):
        merged = {**to["metadata"].get(key, {}), **changes}
        metadata[key] = {k: v for k, v in merged.items() if v is not None}
    return {**to, "metadata": metadata, "spec": {**to["spec"], **patch.spec}}


def after(world: Seen) -> Seen:
    """The world once every patch of a pass was written; sweeps are not taken."""
    snapshots, contents = list(world.snapshots), dict(world.contents)
    for index, item in enumerate(planned(world).items):
        assert item.point.name == objects.name(snapshots[index])
        snapshots[index] = apply(item.snapshot, snapshots[index])
        if item.content is not None:
            name = objects.name(item.content.obj)
            contents[name] = apply(item.content, contents[name])
    return replace(world, snapshots=snapshots, contents=contents)


def writes(world: Seen) -> list[str]:
    return [
        item.point.name
        for item in planned(world).items
        if item.snapshot or item.content or (item.sweep and item.sweep.step is not Step.NOTHING)
    ]


def test_a_new_good_point_is_labelled_and_mirrored_onto_its_content() -> None:
    point = snapshot("a", TODAY, notes={"record": record(), "policy": "a long name"})

    item = by_name(seen(point))["a"]

    assert item.snapshot is not None
    assert item.snapshot.labels == {PREFIX + "daily": "2026-11-22"}
    assert item.snapshot.annotations == {}
    assert item.content is not None
    assert item.content.labels == {**objects.labels(point), PREFIX + "daily": "2026-11-22"}
    assert item.content.annotations == {
        labels.RUN: "run-a",
        labels.RECORD: record(),
        labels.POLICY: "a long name",
    }
    assert item.content.spec == {"deletionPolicy": "Retain"}
    assert item.sweep is None


def test_a_mirrored_series_needs_nothing() -> None:
    point = snapshot("a", TODAY, extra={"daily": "2026-11-22"})

    assert writes(seen(point, contents=[mirrored(point)])) == []


@pytest.mark.parametrize("result", ["good", "failed"])
def test_a_point_with_a_date_is_retain_before_a_sweep_comes_to_it(result: str) -> None:
    """In the write that mirrors the date: the sweep takes none for it."""
    point = snapshot("a", OLD, result=result, extra={"delete-after": "2026-11-30"})

    item = by_name(seen(point, snapshot("new", TODAY)))["a"]

    assert item.content is not None
    assert item.content.labels[labels.DELETE_AFTER] == "2026-11-30"
    assert item.content.spec == {"deletionPolicy": "Retain"}


@pytest.mark.parametrize("result", ["pending", "failed", None])
def test_only_good_points_are_made_retain(result: str | None) -> None:
    point = snapshot("a", TODAY, result=result)

    item = by_name(seen(point, running=frozenset({"run-a"})))["a"]

    assert item.content is not None
    assert item.content.spec == {}


def test_what_is_gone_from_the_snapshot_goes_from_its_content_and_foreign_words_stay() -> None:
    point = snapshot("a", TODAY, extra={"daily": "2026-11-22"})
    known = mirrored(point, **{"marked-at": "2026-11-21T00:00:00+00:00"})
    known["metadata"]["labels"] |= {PREFIX + "hold": "true", "team": "red"}

    item = by_name(seen(point, contents=[known]))["a"]

    assert item.content is not None
    assert item.content.labels == {PREFIX + "hold": None}
    assert item.content.annotations == {labels.MARKED_AT: None}


def test_a_content_of_another_snapshot_is_left_alone() -> None:
    point = snapshot("a", TODAY, extra={"daily": "2026-11-22"})
    foreign = content(point)
    foreign["spec"]["volumeSnapshotRef"]["uid"] = "uid-of-another"

    assert writes(seen(point, contents=[foreign])) == []


def test_a_pending_point_whose_run_is_gone_becomes_failed() -> None:
    point = snapshot("a", TODAY, result="pending")

    item = by_name(seen(point))["a"]

    assert item.snapshot is not None
    assert item.snapshot.labels == {labels.RESULT: "failed"}
    assert item.point.result is labels.Result.FAILED


def test_a_pending_point_whose_run_goes_on_is_not_touched() -> None:
    point = snapshot("a", TODAY, result="pending")

    assert by_name(seen(point, running=frozenset({"run-a"})))["a"].snapshot is None


@pytest.mark.parametrize(
    ("users", "left"),
    [("gone", None), ("gone,here", "here"), ("", None), ("here", "here")],
)
def test_users_that_are_gone_are_removed(users: str, left: str | None) -> None:
    point = snapshot("a", TODAY, extra={"daily": "2026-11-22"}, notes={"in-use": users})

    item = by_name(seen(point, requests=frozenset({"here"})))["a"]

    changes = item.snapshot.annotations if item.snapshot else {}
    assert changes == ({} if left == users else {labels.IN_USE: left})
    assert item.point.in_use == left


def test_a_point_in_use_is_not_swept_until_its_request_is_gone() -> None:
    old = snapshot("old", OLD, extra=OVERDUE, notes={"in-use": "here"})
    new = snapshot("new", TODAY, extra={"daily": "2026-11-22"})
    world = seen(old, new, contents=[mirrored(old), mirrored(new)])

    assert writes(replace(world, requests=frozenset({"here"}))) == []
    released = by_name(world)["old"]
    assert (released.snapshot is not None, released.sweep) == (True, None)
    swept = by_name(after(world))["old"].sweep
    assert swept is not None
    assert swept.step is Step.DELETE_SNAPSHOT


def test_a_sweep_waits_for_the_mirror() -> None:
    """A content that loses its snapshot must be found by what it carries."""
    old = snapshot("old", OLD, extra=OVERDUE)
    world = seen(old, snapshot("new", TODAY))

    first, second = by_name(world)["old"], by_name(after(world))["old"]

    assert first.content is not None
    assert first.sweep is None
    assert (second.content, second.snapshot) == (None, None)
    assert second.sweep is not None
    assert second.sweep.step is Step.DELETE_SNAPSHOT


def test_a_due_snapshot_without_content_is_deleted_with_preconditions() -> None:
    old, new = snapshot("old", OLD, extra=OVERDUE), snapshot("new", TODAY)

    sweep = by_name(seen(old, new, contents=[content(new)]))["old"].sweep

    assert sweep is not None
    assert (sweep.step, sweep.uid, sweep.resource_version) == (
        Step.DELETE_SNAPSHOT,
        "uid-old",
        "1",
    )


def test_a_due_snapshot_that_is_going_is_only_waited_for() -> None:
    old = snapshot("old", OLD, extra=OVERDUE, deletionTimestamp=TODAY)
    new = snapshot("new", TODAY, extra={"daily": "2026-11-22"})
    proven = mirrored(old, swept="uid-old.2026-11-20")

    assert writes(seen(old, new, contents=[proven, mirrored(new)])) == []


def test_a_due_snapshot_that_goes_without_a_proof_gets_it() -> None:
    """As after a process that died between the DELETE and its proof."""
    old = snapshot("old", OLD, extra=OVERDUE, deletionTimestamp=TODAY)
    new = snapshot("new", TODAY, extra={"daily": "2026-11-22"})

    sweep = by_name(seen(old, new, contents=[mirrored(old), mirrored(new)]))["old"].sweep

    assert sweep is not None
    assert (sweep.step, sweep.proof) == (Step.WRITE_PROOF, "uid-old.2026-11-20")


def test_a_marked_snapshot_that_a_hand_deletes_while_a_rule_keeps_it_again_is_not_due() -> None:
    """The count was raised since it was marked; nothing has unmarked it yet."""
    mark = {"marked-at": "2026-11-20T00:32:00+00:00"}
    old = snapshot("old", OLD, extra=OVERDUE, notes=mark, deletionTimestamp=TODAY)
    new = snapshot("new", TODAY, extra={"daily": "2026-11-22"})
    newer = snapshot("newer", "2026-11-21T00:32:00Z", extra={"daily": "2026-11-21"})
    contents = [mirrored(old, swept="uid-old.2026-11-20"), mirrored(newer), mirrored(new)]
    world = seen(old, newer, new, contents=contents)

    assert by_name(world)["old"].due
    raised = by_name(replace(world, rules=replace(RULES, daily=3)))["old"]

    assert not raised.due
    assert raised.content is not None
    assert raised.content.labels == {labels.SWEPT: None}


def test_a_content_that_goes_by_the_sweep_of_a_snapshot_seen_before_is_left_alone() -> None:
    """Retain, written now, would leave its disk behind."""
    old = snapshot("old", OLD, extra=OVERDUE)
    new = snapshot("new", TODAY, extra={"daily": "2026-11-22"})
    going = mirrored(old, policy="Delete", swept="uid-old.2026-11-20")
    going["metadata"]["deletionTimestamp"] = TODAY
    del going["metadata"]["labels"][labels.DELETE_AFTER]

    item = by_name(seen(old, new, contents=[going, mirrored(new)]))["old"]

    assert (item.snapshot, item.content) == (None, None)
    assert item.sweep is not None
    assert item.sweep.step is Step.DELETE_SNAPSHOT  # It is gone: an answer of 404.


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
@pytest.mark.parametrize("known", [{"hold": "true"}, {}], ids=["mirrored", "not mirrored"])
@pytest.mark.parametrize("going", [False, True], ids=["there", "going"])
def test_what_a_sweep_wrote_goes_in_the_first_write_after_a_person_held_the_point(
    policy: str, known: dict[str, str], going: bool
) -> None:
    """With the proof still there, the loss of the snapshot would take its disk."""
    extra = {**OVERDUE, "hold": "true", "daily": "2026-11-18"}
    old = snapshot("old", OLD, extra=extra, deletionTimestamp=TODAY if going else None)
    new = snapshot("new", TODAY, extra={"daily": "2026-11-22"})
    proven = mirrored(old, policy=policy, swept="uid-old.2026-11-20", sweep="uid-old")
    if not known:
        del proven["metadata"]["labels"][labels.HOLD]

    item = by_name(seen(old, new, contents=[proven, mirrored(new)]))["old"]

    assert item.content is not None
    held = {} if known else {labels.HOLD: "true"}
    assert item.content.labels == {labels.SWEPT: None, **held}
    assert item.content.annotations == {labels.SWEEP: None}
    assert item.content.spec == ({} if policy == "Retain" else {"deletionPolicy": "Retain"})
    assert (item.snapshot, item.sweep) == (None, None)


def test_a_point_that_no_rule_keeps_is_marked_on_both() -> None:
    points = [snapshot(n, f"2026-11-{n}T00:32:00Z") for n in ("20", "21", "22")]

    item = by_name(seen(*points))["20"]

    assert item.snapshot is not None
    assert item.snapshot.labels == {labels.DELETE_AFTER: "2026-11-22"}
    assert item.snapshot.annotations == {labels.MARKED_AT: "2026-11-22T01:00:00+00:00"}
    assert item.content is not None
    assert item.content.annotations[labels.MARKED_AT] == "2026-11-22T01:00:00+00:00"
    assert item.point.is_marked_by_retention


def test_each_claim_is_a_series_of_its_own() -> None:
    points = [
        snapshot("a", TODAY),
        snapshot("b", TODAY, extra={"pvc": "logs"}),
        snapshot("c", TODAY, extra={"pvc": "short-1"}, notes={"pvc": "a long name"}),
    ]

    items = by_name(seen(*points))

    assert {n: i.point.claim for n, i in items.items()} == {
        "a": "data",
        "b": "logs",
        "c": "a long name",
    }
    for item in items.values():
        assert item.snapshot is not None
        assert item.snapshot.labels == {PREFIX + "daily": "2026-11-22"}


def test_a_frozen_series_is_mirrored_and_follows_only_dates_that_are_not_ours() -> None:
    mark = {"marked-at": "2026-11-20T00:32:00+00:00"}
    by_hand = snapshot("by-hand", OLD, extra=OVERDUE)
    by_mark = snapshot("by-mark", OLD, extra=OVERDUE, notes=mark)
    newest = snapshot("newest", TODAY)
    world = seen(by_hand, by_mark, newest, rules=None)

    steps = {n: i.sweep.step for n, i in by_name(after(world)).items() if i.sweep}

    assert steps == {"by-hand": Step.DELETE_SNAPSHOT}


RICH = [
    snapshot("pending", TODAY, result="pending", ready=False),
    snapshot("orphan", OLD, result="pending"),
    snapshot("failed", TODAY, result="failed"),
    snapshot("none", OLD, result=None),
    snapshot("held", OLD, extra={"hold": "true", **OVERDUE}),
    snapshot("saved", OLD, notes={"marked-at": "2026-11-20T00:32:00+00:00"}),
    snapshot("old", OLD, notes={"in-use": "gone"}),
    snapshot("strange", OLD, extra={"delete-after": "soon", "daily": "w99"}),
    snapshot("days", OLD, extra={"retain": "days", "retain-days": "30"}),
    snapshot("unready", TODAY, ready=False, notes={"in-use": "here"}),
    snapshot("new", TODAY),
]


@pytest.mark.parametrize("rules", [RULES, None, Rules.keep_everything(UTC)])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_second_pass_finds_nothing_to_write(rules: Rules | None, reverse: bool) -> None:
    points = RICH[::-1] if reverse else RICH
    world = seen(
        *points, rules=rules, running=frozenset({"run-pending"}), requests=frozenset({"here"})
    )

    assert writes(world)
    assert writes(after(world)) == []


def test_each_pass_changes_only_what_the_last_one_left_over_time() -> None:
    """Day after day: what is marked is swept after its grace, and the rest stays as it is."""
    points = [snapshot(str(day), f"2026-11-{day}T00:32:00Z") for day in range(16, 23)]
    first = seen(*points)
    world = after(replace(first, released=frozenset(h.plan for h in planned(first).stopped.held)))
    later = replace(world, now=NOW + timedelta(days=2))

    swept = {n for n, i in by_name(later).items() if i.sweep and i.sweep.step is not Step.NOTHING}

    assert swept == {"16", "17", "18", "19", "20"}
    assert not any(i.snapshot or i.content for i in planned(later).items)


def test_a_series_that_is_held_gets_its_tiers_but_no_mark_and_others_go_on() -> None:
    days = range(16, 23)
    world = seen(
        *(snapshot(f"a-{day}", f"2026-11-{day}T00:32:00Z") for day in days),
        *(
            snapshot(f"b-{day}", f"2026-11-{day}T00:32:00Z", extra={"pvc": "b"})
            for day in days[-4:]
        ),
    )

    plan = planned(world)

    (held,) = plan.stopped.held
    assert (held.claim, held.marks, held.size) == ("data", 5, 7)
    done = [i for i in plan.items if i.snapshot is not None]
    assert {i.point.name for i in done if labels.DELETE_AFTER in i.point.labels} == {
        "b-19",
        "b-20",
    }
    assert {i.point.name for i in done if labels.DAILY in i.point.labels} == {
        "a-21",
        "a-22",
        "b-21",
        "b-22",
    }
    again = planned(after(world))
    assert again.stopped.held == plan.stopped.held
    assert writes(after(world)) == []
    assert planned(replace(world, released=frozenset({held.plan}))).stopped.held == []


def test_while_our_clock_is_off_nothing_is_marked_or_swept_and_tiers_go_on() -> None:
    points = [
        snapshot("overdue", OLD, extra=OVERDUE),
        snapshot("unkept", "2026-11-19T00:32:00Z"),
        *(snapshot(str(day), f"2026-11-{day}T00:32:00Z") for day in (21, 22)),
    ]
    proven = mirrored(points[0], swept="uid-overdue.2026-11-20")
    world = seen(*points, contents=[proven, *(mirrored(p) for p in points[1:])])
    off = replace(world, clock=Brake("ClockSkew", "the clock is off"))

    before, stopped = by_name(world), by_name(off)

    assert before["overdue"].sweep is not None
    assert labels.DELETE_AFTER in before["unkept"].point.labels
    assert stopped["overdue"].sweep is None
    assert stopped["overdue"].content is None, "a proof stays: the sweep goes on later"
    assert labels.DELETE_AFTER not in stopped["unkept"].point.labels
    assert stopped["unkept"].reasons == ("kept by no rule, but not marked: the clock is off",)
    assert stopped["22"].snapshot is not None
    assert stopped["22"].snapshot.labels == {PREFIX + "daily": "2026-11-22"}
    assert planned(off).stopped.held == []
