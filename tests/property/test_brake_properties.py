"""What holds for the brake on any series whatever."""

from collections.abc import Sequence
from datetime import timedelta

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.property.test_retention_properties import NOW, live_rules, series
from tests.unit.domain.series import patched, point

from backstay.domain import labels
from backstay.domain.brakes import brake_marks, marks
from backstay.domain.points import Point, Rules, Verdict
from backstay.domain.retention import judge

OLD = [point(f"old{i}", NOW - timedelta(days=400, minutes=i)) for i in range(12)]
"""So that there is much to mark."""


def bare(verdict: Verdict) -> tuple[object, ...]:
    """All that a verdict does but marking."""
    kept = {k: v for k, v in verdict.set_labels.items() if k != labels.DELETE_AFTER}
    return (
        verdict.point,
        kept if marks(verdict) else verdict.set_labels,
        verdict.remove_labels,
        verdict.remove_annotations,
        verdict.sweep,
    )


@given(series(), live_rules)
@settings(max_examples=50)
def test_a_brake_takes_all_new_marks_or_none_and_nothing_else(
    some: list[Point], rules: Rules
) -> None:
    world = [*some, *OLD]
    judged = judge(world, rules, NOW)

    braked, held = brake_marks(judged, ())

    assert sum(map(marks, braked)) <= max(3, len(world) / 3)
    if held is None:
        assert braked == judged
    else:
        assert not any(map(marks, braked))
        assert [bare(v) for v in braked] == [bare(v) for v in judged]
        assert brake_marks(judged, {held.plan}) == (judged, None)


@given(series(), live_rules, st.data())
@settings(max_examples=50)
def test_a_released_plan_is_finished_wherever_marking_was_cut_off(
    some: Sequence[Point], rules: Rules, data: st.DataObject
) -> None:
    world = [*some, *OLD]
    verdicts = judge(world, rules, NOW)
    _, held = brake_marks(verdicts, ())
    assume(held is not None)
    assert held is not None
    written = data.draw(st.lists(st.booleans(), min_size=len(world), max_size=len(world)))
    cut_off = [
        patched(v) if done and not v.sweep else v.point
        for v, done in zip(verdicts, written, strict=True)
    ]

    _, again = brake_marks(judge(cut_off, rules, NOW), {held.plan})

    assert again is None
