"""Adopting any snapshots and then passing over them does what the offline preview said."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from tests.property.test_retention_properties import NOW
from tests.property.test_retention_properties import ZONES as SOME_ZONES
from tests.unit.cli.running import FOREIGN, foreign
from tests.unit.cli.test_preview_properties import SEARCH, WORLDS, theirs

from backstay.domain import adoption, labels, objects, preview, upkeep
from backstay.domain.objects import Obj
from backstay.domain.points import Rules

PLACE: Final = "shop"
CLAIMS: Final = frozenset({"data", "logs"})


def adopted(snapshots: Sequence[Obj], rules: Rules) -> list[Obj]:
    """The world after adoption, labels and annotations written as the patches say."""
    seen = adoption.Seen("policy", FOREIGN, CLAIMS, {}, snapshots)
    done = copy.deepcopy(list(snapshots))
    chosen = {objects.name(s) for s in adoption.plan(seen).adopt}
    for snapshot in done:
        if objects.name(snapshot) in chosen:
            values, notes = adoption.patch_labels(snapshot, seen, rules.zone)
            snapshot["metadata"]["labels"] |= values
            snapshot["metadata"]["annotations"] = notes
    return done


def of_policy(snapshots: Sequence[Obj]) -> list[Obj]:
    return [s for s in snapshots if objects.labels(s).get(labels.POLICY) == "policy"]


def passed(snapshots: Sequence[Obj], rules: Rules) -> upkeep.Plan:
    return upkeep.plan(upkeep.Seen(NOW, rules, snapshots, {}, frozenset(), frozenset()))


def here(data: bytes) -> tuple[list[Obj], Rules]:
    """Snapshots of one namespace: a policy adopts in no other."""
    found, rules = theirs(data)
    return [s for s in found if objects.namespace(s) == PLACE], rules


@SEARCH
@given(WORLDS)
def test_the_pass_after_adoption_does_what_the_preview_said(data: bytes) -> None:
    snapshots, rules = here(data)
    said = {
        line.name: line
        for line in preview.of_adopted(snapshots, rules, NOW, FOREIGN)
        if line.taken is not None
    }

    items = passed(of_policy(adopted(snapshots, rules)), rules).items

    assert {item.point.name for item in items} == set(said)
    for item in items:
        line = said[item.point.name]
        changes = dict(item.snapshot.labels) if item.snapshot else {}
        ours = {k: v for k, v in changes.items() if v is not None}
        assert {adoption.renamed(k, FOREIGN): v for k, v in ours.items()} == line.set_labels
        gone = {adoption.renamed(k, FOREIGN) for k, v in changes.items() if v is None}
        assert gone == set(line.remove_labels)
        assert (item.sweep is not None and item.sweep.step == "DeleteSnapshot") == line.delete
        assert item.reasons == line.reasons


@SEARCH
@given(WORLDS)
def test_adopting_twice_writes_once_and_leaves_their_labels(data: bytes) -> None:
    snapshots, rules = here(data)
    once = adopted(snapshots, rules)
    assert adopted(once, rules) == once
    for before, after in zip(snapshots, once, strict=True):
        kept = {k: v for k, v in objects.labels(after).items() if k.startswith(FOREIGN)}
        assert kept == objects.labels(before)


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
    seen = adoption.Seen("policy", FOREIGN, CLAIMS, {}, snapshots)
    assert adoption.plan(replace(seen, snapshots=shuffled)) == adoption.plan(seen)


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
    assert adoption.labels_from(given_, FOREIGN, zone)[labels.WEEKLY] == f"w{week:02d}"
