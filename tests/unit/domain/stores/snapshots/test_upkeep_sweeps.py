"""Which snapshots a pass sweeps, with which step, and what it takes back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.builders import content, snapshot
from tests.support.snapshot_passes import (
    OLD,
    OVERDUE,
    RULES,
    TODAY,
    after,
    by_name,
    mirrored,
    seen,
    writes,
)

from backstay.domain import labels
from backstay.domain.stores.snapshots.deletion import Step


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


def test_a_frozen_series_is_mirrored_and_follows_only_dates_that_are_not_ours() -> None:
    mark = {"marked-at": "2026-11-20T00:32:00+00:00"}
    by_hand = snapshot("by-hand", OLD, extra=OVERDUE)
    by_mark = snapshot("by-mark", OLD, extra=OVERDUE, notes=mark)
    newest = snapshot("newest", TODAY)
    world = seen(by_hand, by_mark, newest, rules=None)

    steps = {n: i.sweep.step for n, i in by_name(after(world)).items() if i.sweep}

    assert steps == {"by-hand": Step.DELETE_SNAPSHOT}
