"""What holds for the brake on any series whatever."""

from collections.abc import Sequence
from datetime import timedelta

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.property.test_retention_properties import NOW, live_rules, series
from tests.unit.domain.retention.series import patched, point

from backstay.domain import labels
from backstay.domain.retention.brakes import brake_marks, marks
from backstay.domain.retention.judge import judge
from backstay.domain.retention.points import Point, Rules, Verdict

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
        dated = {v.point.uid for v in judged if v.sweep and not v.point.is_marked_by_retention}
        going = {v.point.uid for v in judged if v.point.deleting}
        assert [bare(v)[:-1] for v in braked] == [bare(v)[:-1] for v in judged]
        assert [v.sweep for v in braked] == [
            v.sweep and v.point.uid not in dated - going for v in judged
        ]
        released, none = brake_marks(judged, {held.plan})
        assert none is None
        assert [marks(v) for v in released] == [marks(v) for v in judged]
        # dates are written down as released first, all of them
        assert {v.point.uid for v in released if labels.SWEEP_RELEASED in v.set_annotations} == (
            dated - going
        )


@given(series(), live_rules, st.data())
@settings(max_examples=50)
def test_a_released_plan_is_finished_wherever_marking_was_interrupted(
    some: Sequence[Point], rules: Rules, data: st.DataObject
) -> None:
    world = [*some, *OLD]
    verdicts = judge(world, rules, NOW)
    _, held = brake_marks(verdicts, ())
    assume(held is not None)
    assert held is not None
    written = data.draw(st.lists(st.booleans(), min_size=len(world), max_size=len(world)))
    interrupted = [
        patched(v) if done and not v.sweep else v.point
        for v, done in zip(verdicts, written, strict=True)
    ]

    _, again = brake_marks(judge(interrupted, rules, NOW), {held.plan})

    assert again is None
