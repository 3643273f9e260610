"""Adopting any snapshots and then passing over them does what the offline preview said."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.test_retention_properties import NOW
from tests.property.test_retention_properties import ZONES as SOME_ZONES
from tests.support.planned import Planned, planned
from tests.unit.cli.running import FOREIGN, foreign
from tests.unit.cli.test_preview_properties import FOREIGN_TIERS, SEARCH, WORLDS, theirs
from tests.unit.domain.retention.series import apply

from backstay.domain import labels, objects, preview
from backstay.domain.adoption import other_labels, takeover
from backstay.domain.adoption.other_retention import to_hold
from backstay.domain.calendar import period_of
from backstay.domain.objects import Obj
from backstay.domain.retention import brakes
from backstay.domain.retention.judge import judge
from backstay.domain.retention.points import Rules
from backstay.domain.stores.snapshots import upkeep
from backstay.domain.stores.snapshots.carriers import point_of

PLACE: Final = "shop"
CLAIMS: Final = frozenset({"data", "logs"})


def adopted(snapshots: Sequence[Obj], rules: Rules) -> list[Obj]:
    """The world after adoption, labels and annotations written as the patches say."""
    held = to_hold(snapshots, FOREIGN, rules, NOW)
    seen = takeover.Seen("policy", FOREIGN, CLAIMS, {}, snapshots, held)
    done = copy.deepcopy(list(snapshots))
    chosen = {objects.name(s) for s in takeover.plan(seen).adopt}
    for snapshot in done:
        if objects.name(snapshot) in chosen:
            values, notes = takeover.patch_labels(snapshot, seen, rules.zone)
            snapshot["metadata"]["labels"] |= values
            snapshot["metadata"]["annotations"] = notes
    return done


def of_policy(snapshots: Sequence[Obj]) -> list[Obj]:
    return [s for s in snapshots if objects.labels(s).get(labels.POLICY) == "policy"]


def passed(snapshots: Sequence[Obj], rules: Rules) -> Planned:
    return planned(upkeep.Seen(NOW, rules, snapshots, {}, frozenset(), frozenset()))


def here(data: bytes) -> tuple[list[Obj], Rules]:
    """Snapshots of one namespace: a policy adopts in no other."""
    found, rules = theirs(data)
    return [s for s in found if objects.namespace(s) == PLACE], rules


def pass_does_what_was_said(snapshots: Sequence[Obj], rules: Rules) -> None:
    said = {
        line.name: line
        for line in preview.of_adopted(snapshots, rules, NOW, FOREIGN)
        if line.taken is not None
    }
    world = of_policy(adopted(snapshots, rules))
    held = {objects.name(s) for s in world if labels.HOLD in objects.labels(s)}

    items = passed(world, rules).items

    assert {item.point.name for item in items} == set(said)
    for item in items:
        line = said[item.point.name]
        changes = dict(item.snapshot.labels) if item.snapshot else {}
        changes |= {labels.HOLD: "true"} if item.point.name in held else {}
        ours = {k: v for k, v in changes.items() if v is not None}
        assert {other_labels.renamed(k, FOREIGN): v for k, v in ours.items()} == line.set_labels
        gone = {other_labels.renamed(k, FOREIGN) for k, v in changes.items() if v is None}
        assert gone == set(line.remove_labels)
        assert (item.sweep is not None and item.sweep.step == "DeleteSnapshot") == line.delete
        assert item.reasons == line.reasons


@SEARCH
@given(WORLDS)
def test_the_pass_after_adoption_does_what_the_preview_said(data: bytes) -> None:
    pass_does_what_was_said(*here(data))


@SEARCH
@given(WORLDS)
def test_adopting_twice_writes_once_and_leaves_their_labels(data: bytes) -> None:
    snapshots, rules = here(data)
    once = adopted(snapshots, rules)
    assert adopted(once, rules) == once
    for before, after in zip(snapshots, once, strict=True):
        kept = {k: v for k, v in objects.labels(after).items() if k.startswith(FOREIGN)}
        assert kept == objects.labels(before)


BY_HAND: Final = st.lists(
    st.tuples(
        st.integers(0, 40 * 24),  # hours ago
        st.sampled_from(["", "", "own", "other", "odd"]),
        st.sampled_from(["", "", "own", "long", "other", "odd"]),
        st.sampled_from(["", "", "own", "other", "odd"]),
        st.booleans(),
    ),
    min_size=2,
    max_size=12,
)
"""Snapshots, and what a person, or the tool, wrote of each tier: its own period, maybe in the long
form, another one's, or none's. Some are not ready."""


def labelled(drawn: Sequence[tuple[int, str, str, str, bool]], zone: ZoneInfo) -> list[Obj]:
    found = []
    for i, (hours, *words, ready) in enumerate(drawn):
        taken = NOW - timedelta(hours=hours, minutes=i)
        extra = {}
        for (tier, key), word in zip(FOREIGN_TIERS.items(), words, strict=True):
            own = period_of(tier, taken, zone)
            other = period_of(tier, taken - timedelta(days=40), zone)
            said = {"own": own.value, "long": "".join(own.also), "other": other.value, "odd": "?"}
            if word:
                extra[key] = said[word]
        found.append(foreign(f"p{i}", taken.isoformat(), ready=ready or i % 2 == 0, **extra))
    return found


def kept_by_the_tool(snapshots: Sequence[Obj], rules: Rules) -> set[str]:
    """By name: what retain.sh leaves a tier label of, and mark-and-delete.sh therefore leaves."""
    found = set()
    for claim in CLAIMS:
        for tier, count in (
            ("daily", rules.daily),
            ("weekly", rules.weekly),
            ("monthly", rules.monthly),
        ):
            carriers = [
                s
                for s in snapshots
                if FOREIGN + tier in objects.labels(s)
                and objects.labels(s).get(FOREIGN + "pvc") == claim
            ]
            carriers.sort(key=lambda s: (str(s["status"]["creationTime"]), objects.name(s)))
            found |= {objects.name(s) for s in carriers[::-1][:count]}
    return found


@SEARCH
@given(BY_HAND, st.sampled_from(SOME_ZONES))
def test_the_preview_also_knows_what_is_held(
    drawn: list[tuple[int, str, str, str, bool]], zone: ZoneInfo
) -> None:
    pass_does_what_was_said(labelled(drawn, SOME_ZONES[0]), Rules(zone, daily=2, weekly=2))


@settings(SEARCH, max_examples=200)
@given(BY_HAND, st.sampled_from(SOME_ZONES), st.tuples(*[st.integers(0, 3)] * 3))
def test_retention_marks_nothing_that_the_tool_would_keep(
    drawn: list[tuple[int, str, str, str, bool]], zone: ZoneInfo, counts: tuple[int, int, int]
) -> None:
    snapshots = labelled(drawn, SOME_ZONES[0])
    daily, weekly, monthly = counts
    rules = Rules(zone=zone, daily=daily, weekly=weekly, monthly=monthly)
    kept = kept_by_the_tool(snapshots, rules)
    points = [point_of(s) for s in of_policy(adopted(snapshots, rules))]
    for claim in CLAIMS:
        series = [p for p in points if p.claim == claim]
        for days in (0, 1, 40, 400):  # without the brake: none of them is left to it
            verdicts = judge(series, rules, NOW + timedelta(days=days))
            assert not {v.point.name for v in verdicts if brakes.marks(v)} & kept
            series = apply(verdicts)


@SEARCH
@given(WORLDS, st.data())
def test_the_order_in_which_snapshots_are_listed_does_not_matter(
    data: bytes, draw: st.DataObject
) -> None:
    snapshots, rules = here(data)
    shuffled = draw.draw(st.permutations(snapshots))

    def result(world: Sequence[Obj]) -> dict[str, Obj]:
        return {objects.name(s): s for s in adopted(world, rules)}

    assert result(shuffled) == result(snapshots)
    seen = takeover.Seen("policy", FOREIGN, CLAIMS, {}, snapshots)
    assert takeover.plan(replace(seen, snapshots=shuffled)) == takeover.plan(seen)


@SEARCH
@given(
    st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2033, 1, 1)),  # noqa: DTZ001
    st.sampled_from(SOME_ZONES),
    st.booleans(),
)
def test_both_forms_of_a_week_mean_the_same_at_any_time_of_any_year(
    taken: datetime, zone: ZoneInfo, old: bool
) -> None:
    at = taken.replace(tzinfo=UTC)
    year, week, _ = at.astimezone(zone).isocalendar()
    given_ = foreign("one", at.isoformat(), weekly=f"{year}-w{week:02d}" if old else f"w{week:02d}")
    assert other_labels.labels_from(given_, FOREIGN, zone)[labels.WEEKLY] == f"w{week:02d}"
