"""Whatever happens to a policy, its operator and its clock: each slot runs once, or is counted once
as missed, and what nextRun says comes true.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.support.sampling import searched
from tests.support.schedule_world import DAY, MINUTE, World, settled, with_schedule

from backstay.api.common import changed
from backstay.api.policy import PolicySpec
from backstay.api.schedule import Blackout, Schedule

HOUR = timedelta(hours=1)
ZONES = (
    "Europe/Vienna", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia",
)  # fmt: skip
NIGHTS = (
    datetime(2026, 3, 28, 18, tzinfo=UTC),
    datetime(2026, 10, 24, 18, tzinfo=UTC),
    datetime(2026, 3, 7, 20, tzinfo=UTC),
    datetime(2026, 11, 1, 0, tzinfo=UTC),
    datetime(2026, 4, 4, 9, tzinfo=UTC),
    datetime(2026, 10, 3, 9, tzinfo=UTC),
    datetime(2011, 12, 29, 18, tzinfo=UTC),
    datetime(2028, 2, 28, 18, tzinfo=UTC),
    datetime(2026, 12, 31, 18, tzinfo=UTC),
)
"""Evenings before clocks change in one of the zones, before a leap day, a year, a lost day."""

crons = st.sampled_from(
    ["@hourly", "*/20 * * * *", "30 2 * * *", "15 */3 * * *", "*/30 1,2 * * *", "0 0 * * SUN",
     "59 23 * * *", "7 2-5 * * *"]
)  # fmt: skip
spans = st.sampled_from([HOUR, 31 * MINUTE, 7 * MINUTE, 3 * HOUR, 11 * HOUR, MINUTE])
windows = st.builds(
    Blackout,
    start=st.sampled_from(["0 1 * * *", "30 2 * * *", "0 */4 * * *", "0 22 * * SAT", "10 * * * *"]),
    duration=spans,
)
schedules = st.builds(
    Schedule,
    cron=crons,
    time_zone=st.sampled_from(ZONES),
    jitter=st.none() | spans,
    starting_deadline=spans,
    blackouts=st.lists(windows, max_size=2).map(tuple),
)
specs = st.builds(
    lambda schedule: changed(
        PolicySpec.model_validate({"source": {"claims": {"names": ["data"]}}}), schedule=schedule
    ),
    schedules,
)

Step = Callable[[World], None]


def editing(**values: st.SearchStrategy[object]) -> st.SearchStrategy[Step]:
    return st.fixed_dictionaries(values).map(
        lambda found: lambda world: world.edit(with_schedule(world.spec, **found))
    )


waits = spans.map(lambda span: lambda world: world.pass_time(span))


def be_down(span: timedelta) -> Step:
    def step(world: World) -> None:
        world.kill()
        world.pass_time(span)
        world.start()

    return step


def edit_while_down(world: World, span: timedelta, cron: str) -> None:
    world.kill()
    world.pass_time(span)
    world.edit(with_schedule(world.spec, cron=cron))
    world.pass_time(span)
    world.start()


def setting(name: str, value: object) -> Step:
    return lambda world: setattr(world, name, value)


quiet: st.SearchStrategy[Step] = st.one_of(
    st.just(setting("dies_at_start", True)),
    spans.map(be_down),
    spans.map(lambda span: setting("run_lasts", span)),
    st.just(World.delete_records),
)
steps: st.SearchStrategy[Step] = st.one_of(
    quiet,
    editing(cron=crons),
    st.tuples(spans, crons).map(lambda found: lambda world: edit_while_down(world, *found)),
    editing(time_zone=st.sampled_from(ZONES)),
    editing(jitter=st.none() | spans),
    editing(starting_deadline=spans),
    editing(blackouts=st.lists(windows, max_size=2).map(tuple)),
    st.booleans().map(lambda on: lambda world: world.edit(changed(world.spec, suspend=on))),
    st.just(World.apply_again),
    st.sampled_from([-40, -1, 0, 1, 70, 400 * 24 * 60]).map(
        lambda minutes: lambda world: world.set_clock(minutes * MINUTE)
    ),
)
wrongs: st.SearchStrategy[Step] = st.sampled_from(
    [-8 * HOUR, -HOUR, timedelta(0), 5 * MINUTE, HOUR, 8 * HOUR, 20 * HOUR, 30 * DAY, 400 * DAY]
).map(lambda wrong: lambda world: world.set_all_clocks(wrong))


def stories(of: st.SearchStrategy[Step]) -> st.SearchStrategy[list[tuple[Step, Step]]]:
    """Steps with time between them."""
    return st.lists(st.tuples(of, waits), min_size=3, max_size=15)


@given(st.sampled_from(NIGHTS), specs, stories(steps))
@searched(100)
def test_every_slot_runs_once_or_is_missed_once(
    start: datetime, spec: PolicySpec, story: list[tuple[Step, Step]]
) -> None:
    world = World(start, spec)
    for step, wait in story:
        step(world)  # asserts on the way
        wait(world)
    world.start()
    world.pass_time(2 * HOUR)


@given(st.sampled_from(NIGHTS), specs, stories(wrongs | steps))
@searched(40)
def test_once_all_clocks_are_right_no_slot_is_passed_over_in_silence(
    start: datetime, spec: PolicySpec, story: list[tuple[Step, Step]]
) -> None:
    # given an operator and an API server that are wrong together, time and again
    world = World(start, spec)
    for step, wait in story:
        step(world)
        wait(world)
    # then once they are right, each slot runs or is counted, as if nothing had been
    assert settled(world) == []


@given(st.sampled_from(NIGHTS), specs, stories(quiet))
@searched(60)
def test_every_slot_since_the_creation_is_run_or_missed_or_still_to_come(
    start: datetime, spec: PolicySpec, story: list[tuple[Step, Step]]
) -> None:
    # given a policy that nobody edits
    world = World(start, spec)
    for step, wait in story:
        step(world)
        wait(world)
    world.start()
    world.pass_time(2 * HOUR)
    # then what was promised last is still to come, and all before is accounted for
    assert world.missed.isdisjoint(world.carriers)
    reported = world.status.missed
    assert [m.first for m in reported] == sorted(m.first for m in reported)
    assert sum(m.count for m in reported) <= len(world.missed)
