"""A label that a person put on a snapshot of the other tool keeps it, as it does there."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests.unit.cli.running import FOREIGN, foreign

from backstay.domain import labels
from backstay.domain.adoption.other_retention import to_hold
from backstay.domain.adoption.takeover import Seen, patch_labels, plan, report
from backstay.domain.objects import Obj
from backstay.domain.retention.points import Rules

VIENNA = ZoneInfo("Europe/Vienna")
NOW = datetime.fromisoformat("2026-11-24T12:00:00+01:00")
RULES = Rules(zone=VIENNA, daily=2, weekly=2, monthly=2)
FIRST = foreign("first", "2026-11-23T00:32:00Z", daily="2026-11-23", weekly="w48")
NEWEST = foreign("newest", "2026-11-24T00:32:00Z", daily="2026-11-24")
NOON = "2026-11-23T12:00:00Z"


def held(*snapshots: Obj, rules: Rules = RULES) -> set[str]:
    return {uid.rpartition("-")[2] for uid in to_hold(snapshots, FOREIGN, rules, NOW)}


@pytest.mark.parametrize(
    "carried",
    [
        {"daily": "2026-11-23"},
        {"weekly": "w48"},
        {"weekly": "2026-w48"},
        # named after another period, or after none: the tool never reads what the label says
        {"monthly": "2026-10"},
        {"weekly": "W48"},
        {"daily": ""},
        # a date that no tool can follow
        {"daily": "2026-11-23", "retain_days": "30"},
    ],
)
def test_a_label_by_hand_beside_the_one_of_its_period_is_a_hold(carried: dict[str, Any]) -> None:
    month = foreign("month", "2026-11-01T00:32:00Z", monthly="2026-11")
    assert held(month, FIRST, foreign("second", NOON, **carried), NEWEST) == {"second"}


@pytest.mark.parametrize(
    "second",
    [
        foreign("second", NOON),
        foreign("second", NOON, daily="2026-11-23", delete_after="2026-12-31"),
        foreign("second", NOON, daily="2026-11-23", retain="days"),
        foreign("second", NOON, daily="2026-11-23", ready=False),
        foreign("second", NOON, daily="2026-11-23", claim="logs"),
        foreign("second", None, daily="2026-11-23"),
    ],
    ids=["no label", "a date", "for days", "not ready", "of another claim", "not taken yet"],
)
def test_without_a_label_that_the_tool_counts_there_is_no_hold(second: Obj) -> None:
    assert held(FIRST, second, NEWEST) == set()


def test_what_the_tool_would_release_as_well_is_not_held() -> None:
    # given two that have the label of one day, beyond the newest two labels
    old = [
        foreign(f"old{hour}", f"2026-11-20T{hour}:32:00Z", daily="2026-11-20") for hour in (10, 11)
    ]
    assert held(*old, FIRST, NEWEST) == set()
    assert held(*old, FIRST, NEWEST, rules=replace(RULES, daily=3)) == {"old11"}


def test_a_label_that_was_taken_off_pushes_none_out_that_the_tool_keeps() -> None:
    # given a day that a person took out of the rotation: retention gives it its label again
    days = [
        foreign(f"d{day}", f"2026-11-{day}T00:32:00Z", daily=f"2026-11-{day}") for day in (20, 21)
    ]
    out = foreign("d22", "2026-11-22T00:32:00Z")
    assert held(*days, out) == {"d20"}


def test_where_a_policy_keeps_everything_nothing_needs_a_hold() -> None:
    second = foreign("second", NOON, daily="2026-11-23")
    assert held(FIRST, second, NEWEST, rules=Rules.keep_everything(VIENNA)) == set()


def seen(*snapshots: Obj) -> Seen:
    found = to_hold(snapshots, FOREIGN, RULES, NOW)
    return Seen("shop", FOREIGN, frozenset({"data"}), {}, snapshots, found)


def adopted(snapshot: Obj, world: Seen) -> Obj:
    values, notes = patch_labels(snapshot, world, VIENNA)
    metadata = snapshot["metadata"]
    written = {**metadata, "labels": metadata["labels"] | values, "annotations": notes}
    return {**snapshot, "metadata": written}


def test_a_hold_is_reported_until_a_person_takes_it_off() -> None:
    second = foreign("second", NOON, daily="2026-11-23")
    before = seen(FIRST, second, NEWEST)
    after = seen(*(adopted(s, before) for s in before.snapshots))
    message = report(plan(before), before).message
    assert "1 held, as backup-ns.sh keeps them" in message
    assert "(second): take backstay.dev/hold off" in message
    assert report(plan(after), after).message == message

    released = after.snapshots[1]
    del released["metadata"]["labels"][labels.HOLD]
    assert "held" not in report(plan(after), after).message
    assert not plan(after).adopt


def test_a_word_against_a_hold_from_before_the_move_stands() -> None:
    second = foreign("second", NOON, daily="2026-11-23")
    second["metadata"]["labels"][labels.HOLD] = "false"
    world = seen(FIRST, second, NEWEST)
    assert patch_labels(second, world, VIENNA)[0][labels.HOLD] == "false"
    assert "held" not in report(plan(world), world).message
