"""Whatever a driver says, whatever a clock does, whatever claim came: nothing more goes.

A history happens twice: in a world in which all times are proper, and in one where the driver
lies, the operator's clock steps, the server's and the operator's step together, the claim is made
again, contents vanish and a person edits labels. What is left of the points of the first must be
left in the second; the worlds themselves check each write against the day of grace.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.artifact_world import World
from tests.support.artifacts import START

from backstay.domain import objects
from backstay.domain.retention import brakes
from backstay.domain.retention.points import Rules

VIENNA = ZoneInfo("Europe/Vienna")
RULES = [
    Rules(zone=VIENNA, daily=3, weekly=2, monthly=2, failed=1),
    Rules(zone=VIENNA, last=3, failed=1),
    Rules(zone=VIENNA, within=timedelta(days=4), adhoc_days=2),
    Rules(zone=VIENNA, hourly=5, yearly=1),
]
Driver = Callable[[datetime], datetime | None]
DRIVERS: dict[str, Driver] = {
    "zero": lambda _: datetime(1970, 1, 1, tzinfo=UTC),
    "absent": lambda _: None,
    "one old moment": lambda _: datetime(2024, 6, 1, 8, tzinfo=UTC),
    "the moment of rebinding": lambda _: START + timedelta(days=9),
    "ahead": lambda moment: moment + timedelta(days=3),
    "far ahead": lambda moment: moment.replace(year=2031),
    "behind": lambda moment: moment - timedelta(days=40),
    "jumping": lambda moment: moment + timedelta(days=(moment.day * 7) % 11 - 5),
}
STEPS = [timedelta(hours=h) for h in (1, -1, 20, -20, 24 * 40, -24 * 40, 24 * 365)]
JUMPED = brakes.Brake("ClockSkew", "the clock jumped")


def passes(world: World) -> None:
    for _ in range(15):
        wrote = world.run_pass()
        world.control()
        if not wrote:
            return
    raise AssertionError("the passes never come to an end")


def run(*worlds: World, good: bool = True, days: int | None = None) -> str:
    for world in worlds:
        name = world.start_run(days=days)
        world.end_run(name, good=good, ready=True)
    return name


def left(world: World) -> set[str]:
    return {n for n, s in world.snapshots.items() if "deletionTimestamp" not in s["metadata"]}


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(
            ["day"] * 6 + ["hours", "hours", "failed", "adhoc", "ahead", "right", "step", "label"]
        ),
        st.integers(0, 7),
    ),
    min_size=8,
    max_size=26,
)


@pytest.mark.parametrize("driver", DRIVERS)
@given(events=EVENTS, rules=st.sampled_from(RULES))
@settings(max_examples=10)
def test_a_driver_and_clocks_that_are_wrong_make_nothing_go(
    driver: str, events: list[tuple[str, int]], rules: Rules
) -> None:
    proper, foreign = World(rules), World(rules, driver=DRIVERS[driver])
    for kind, number in events:
        match kind:
            case "day" | "hours":
                span = timedelta(days=1, minutes=number)
                if kind == "hours":
                    span = timedelta(hours=1 + number)
                for world in (proper, foreign):
                    world.true += span
                run(proper, foreign)
            case "failed":
                run(proper, foreign, good=False)
            case "adhoc":
                run(proper, foreign, days=number % 4)
            case "ahead":
                foreign.ahead = STEPS[number % len(STEPS)]
            case "right":
                foreign.ahead = timedelta(0)
            case "label" if names := sorted(left(foreign) & left(proper)):
                # what a hand writes there is not the moment of the point
                wrong = {"daily": "2020-01-01", "weekly": "w33", "monthly": "2025-02"}
                foreign.label(names[number % len(names)], **wrong)
            case "step":
                # Both clocks step together for a while: that is seen, and held for a day.
                step = STEPS[number % len(STEPS)]
                foreign.true, foreign.hold = foreign.true + step, JUMPED
                passes(foreign)
                foreign.true -= step
                passes(foreign)
                foreign.hold = None
        passes(proper)
        passes(foreign)
        assert left(proper) <= left(foreign)


@given(
    lost=st.sets(st.integers(0, 9), max_size=4),
    again=st.integers(4, 10),
    rules=st.sampled_from(RULES),
    empty_days=st.integers(1, 12),
)
@settings(max_examples=40)
def test_an_empty_claim_and_contents_that_vanish_push_out_nothing(
    lost: set[int], again: int, rules: Rules, empty_days: int
) -> None:
    world = World(rules)
    for _ in range(again):
        world.true += timedelta(days=1)
        run(world)
        passes(world)
    there = sorted(left(world))
    for number in lost:
        if number < len(there) - 1:
            world.contents.pop(f"content-{there[number]}", None)
    whole = {n for n in there if f"content-{n}" in world.contents}
    marked = {n for n in whole if "backstay.dev/delete-after" in objects.labels(world.snapshots[n])}
    world.claim = "uid-of-the-empty-one"
    for _ in range(empty_days):
        world.true += timedelta(days=1)
        run(world)
        passes(world)
    # Every whole point of the volume before is there, but what was marked while it was its own.
    assert whole - marked <= left(world)
