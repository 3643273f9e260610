"""What holds for any series whatever: the invariants of domain/retention/judge.py."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.unit.domain.retention.series import apply, point

from backstay.domain import labels
from backstay.domain.calendar import TIER_LABELS, Tier, period_of
from backstay.domain.labels import Retain
from backstay.domain.retention.judge import judge, tiers_for_new
from backstay.domain.retention.points import Point, Rules, Verdict

NOW = datetime(2026, 1, 2, 23, 15, tzinfo=UTC)
ZONES = [
    ZoneInfo(z)
    for z in ("Europe/Vienna", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "UTC")
]
DATES = ["", "never", "2025-12-01", "2026-01-01", "2026-01-02", "2026-01-03", "2027-01-01"]
MARKS = [
    "2025-12-01T00:30:00+01:00",
    "2026-01-01T23:00:00+01:00",
    "2026-01-02T23:00:00+01:00",
    "2026-01-03T00:10:00+01:00",
    "2030-01-01T00:00:00+00:00",
    "garbage",
]
ODD = ["", "2026-01-01", "2025-12-31", "w01", "w53", "2025-12", "2026-w01", "?"]
CALENDAR = Retain.DAILY_WEEKLY_MONTHLY
T = TypeVar("T")


class Choices:
    """Choices read from bytes: one draw for a whole world is many times faster than one each."""

    def __init__(self, data: bytes) -> None:
        self._data = iter(data)

    def pick(self, options: Sequence[T]) -> T:
        return options[next(self._data, 0) % len(options)]

    def one_in(self, number: int) -> bool:
        return self.pick(range(number)) == number - 1


BYTES_PER_POINT = 16


def point_of(name: str, choices: Choices) -> Point:
    age = timedelta(
        days=choices.pick([0, 0, 0, 1, 1, 2, 3, 6, 8, 20, 40, 370]),
        minutes=6 * choices.pick(range(250)),
    )
    extra = {
        "result": choices.pick(["good"] * 5 + ["failed", "failed", "pending", "?"]),
        "retain": choices.pick([*[str(CALENDAR)] * 5, "days", "?"]),
    }
    for tier in choices.pick([(), (Tier.DAILY,), (Tier.DAILY, Tier.WEEKLY), tuple(Tier)]):
        own = period_of(tier, NOW - age, ZONES[0]).value
        extra[tier] = own if choices.pick([True, True, False]) else choices.pick(ODD)
    match choices.pick(["", "", "date", "mark", "mark", "edited", "saved"]):
        case "date":
            extra["delete_after"] = choices.pick(DATES)
        case "mark":
            extra["marked_at"] = choices.pick(MARKS)
            extra["delete_after"] = extra["marked_at"][:10]
        case "edited":
            extra["marked_at"], extra["delete_after"] = choices.pick(MARKS), choices.pick(DATES)
        case "saved":
            extra["marked_at"] = choices.pick(MARKS)
    if choices.one_in(8):
        extra["hold"] = choices.pick(["true", "false", "yes"])
    if choices.one_in(8):
        extra["in_use"] = "request"
    ready, deleting = not choices.one_in(6), choices.one_in(10)
    return replace(point(name, NOW - age, **extra), ready=ready, deleting=deleting)


def points(name: str) -> st.SearchStrategy[Point]:
    sized = st.binary(min_size=BYTES_PER_POINT, max_size=BYTES_PER_POINT)
    return sized.map(lambda data: point_of(name, Choices(data)))


def series() -> st.SearchStrategy[list[Point]]:
    # The number is drawn first: left to itself hypothesis draws next to no bytes at all.
    return st.integers(min_value=0, max_value=9).flatmap(
        lambda number: st.tuples(*(points(f"p{i}") for i in range(number))).map(list)
    )


def rules_of(data: bytes) -> Rules:
    choices = Choices(data)
    return Rules(
        zone=choices.pick(ZONES),
        hourly=choices.pick(range(4)),
        daily=choices.pick(range(4)),
        weekly=choices.pick(range(4)),
        monthly=choices.pick(range(4)),
        yearly=choices.pick(range(4)),
        last=choices.pick([0, 0, 1, 2, 4]),
        within=timedelta(hours=choices.pick([0, 0, 1, 25, 24 * 7])),
        failed=choices.pick(range(4)),
        adhoc_days=30,
        keeps_all=choices.one_in(8),
    )


live_rules = st.binary(min_size=10, max_size=10).map(rules_of)
any_rules = st.one_of(live_rules, live_rules, live_rules, st.none())


def counted(world: Sequence[Point]) -> list[Point]:
    return [
        p
        for p in world
        if p.labels[labels.RESULT] == "good"
        and p.ready
        and not p.deleting
        and p.labels[labels.RETAIN] == "daily_weekly_monthly"
    ]


def newest_good(world: Sequence[Point]) -> Point | None:
    good = [p for p in world if p.labels[labels.RESULT] == "good" and p.ready and not p.deleting]
    return max(good, key=lambda p: (p.taken, p.name), default=None)


def marks(verdict: Verdict) -> bool:
    return labels.MARKED_AT in verdict.set_annotations


@given(series(), any_rules, st.data())
def test_the_order_of_the_input_does_not_matter(
    world: list[Point], rules: Rules | None, data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(world))
    one = {v.point.name: v for v in judge(world, rules, NOW)}
    assert one == {v.point.name: v for v in judge(shuffled, rules, NOW)}


@given(series(), any_rules)
@settings(max_examples=50)
def test_a_second_pass_changes_nothing(world: list[Point], rules: Rules | None) -> None:
    again = judge(apply(judge(world, rules, NOW)), rules, NOW)
    assert [v for v in again if v.patches or v.sweep] == []


@given(series(), any_rules)
@settings(max_examples=50)
def test_what_must_stay_is_neither_marked_nor_swept(
    world: list[Point], rules: Rules | None
) -> None:
    newest = newest_good(world)
    for verdict in judge(world, rules, NOW):
        found = verdict.point
        if found is newest or found.labels.get(labels.HOLD, "false") != "false" or found.in_use:
            assert not marks(verdict)
            assert not verdict.sweep
        if found.labels[labels.RESULT] == "pending":
            assert not verdict.patches
            assert not verdict.sweep
        if rules is None or found.deleting:
            assert not verdict.patches


@given(series(), any_rules)
@settings(max_examples=50)
def test_only_a_strict_date_that_is_past_sweeps_and_a_mark_only_after_its_grace(
    world: list[Point], rules: Rules | None
) -> None:
    today = NOW.astimezone(rules.zone if rules else UTC).date()
    for verdict in judge(world, rules, NOW):
        if verdict.sweep:
            text = verdict.point.labels[labels.DELETE_AFTER]
            assert date.fromisoformat(text).isoformat() == text
            assert date.fromisoformat(text) < today
            if verdict.point.marked_at is not None:
                at = datetime.fromisoformat(verdict.point.marked_at)
                assert NOW - at > timedelta(hours=24)


@given(series(), live_rules)
@settings(max_examples=50)
def test_each_rule_has_exactly_one_label_in_each_of_its_newest_periods(
    world: list[Point], rules: Rules
) -> None:
    # One whose date is past and that is still in use goes as soon as it can: it does not count.
    assume(not any(p.in_use and labels.DELETE_AFTER in p.labels for p in world))
    after = counted(apply(judge(world, rules, NOW)))
    for tier, label in TIER_LABELS.items():
        periods = sorted({period_of(tier, p.taken, rules.zone) for p in after}, reverse=True)
        expected = periods[: rules.count(tier)]
        carriers = [p for p in after if label in p.labels]
        found = [period_of(tier, p.taken, rules.zone) for p in carriers]
        assert sorted(found, reverse=True) == expected
        for carrier, period in zip(carriers, found, strict=True):
            assert period.is_named_by(carrier.labels[label])


@given(series(), live_rules)
@settings(max_examples=50)
def test_what_our_mark_sweeps_is_missed_by_no_rule(world: list[Point], rules: Rules) -> None:
    verdicts = judge(world, rules, NOW)
    remaining = counted(apply(verdicts))
    for verdict in verdicts:
        found = verdict.point
        if not verdict.sweep or not found.is_marked_by_retention or not counted([found]):
            continue
        assert not rules.keeps_all
        for tier in Tier:
            period = period_of(tier, found.taken, rules.zone)
            others = {period_of(tier, p.taken, rules.zone) for p in remaining}
            newer = sum(1 for other in others if other > period)
            wanted = rules.count(tier)
            assert period in others or (wanted is not None and newer >= wanted)
        assert not rules.within or NOW - found.taken >= rules.within
        assert sum(1 for p in remaining if p.order > found.order) >= rules.last


@given(series(), live_rules)
@settings(max_examples=50)
def test_a_new_mark_takes_neither_a_young_point_nor_one_of_the_last(
    world: list[Point], rules: Rules
) -> None:
    verdicts = judge(world, rules, NOW)
    remaining = counted(apply(verdicts))
    for verdict in verdicts:
        found = verdict.point
        if marks(verdict) and counted([found]):
            assert not rules.within or NOW - found.taken >= rules.within
            assert sum(1 for p in remaining if p.order > found.order) >= rules.last


@given(series(), points("new"), live_rules)
@settings(max_examples=50)
def test_a_new_point_gets_at_birth_what_judge_would_give_it(
    world: list[Point], new: Point, rules: Rules
) -> None:
    pending = replace(
        new, ready=True, deleting=False, labels={**new.labels, labels.RESULT: "pending"}
    )
    given_ = tiers_for_new([*world, pending], pending, rules, NOW)
    born = replace(
        pending,
        labels={
            **{k: v for k, v in pending.labels.items() if k not in TIER_LABELS.values()},
            **given_,
            labels.RESULT: "good",
        },
    )
    verdict = judge([*world, born], rules, NOW)[-1]
    assume(not verdict.sweep)  # a person dated it while it was pending
    touched = {*verdict.set_labels, *verdict.remove_labels}
    assert touched & set(TIER_LABELS.values()) == set()
