"""Points that name a time of the future: what is found, and what corrects it."""

from dataclasses import replace
from datetime import timedelta

from tests.unit.domain.retention.series import NOW, point

from backstay.domain.retention.future import ahead, report


def test_a_point_of_the_future_is_named_with_what_corrects_it() -> None:
    today = [point(f"p{i}", NOW - timedelta(days=i)) for i in range(3)]
    late = replace(point("late", NOW + timedelta(hours=8)), good_since=NOW)
    assert ahead(today, NOW) is None
    found = ahead([*today, late], NOW)
    assert found is not None
    brake = report([found], "prod")
    assert brake is not None
    assert (
        "claim data: point late names 2026-11-22T19:00:00Z, which is in the future" in brake.message
    )
    assert "kubectl annotate volumesnapshot late backstay.dev/taken-at=TIME" in brake.message
    assert report([], "prod") is None
    soon = point("soon", NOW + timedelta(seconds=59))
    assert ahead([soon, replace(late, deleting=True)], NOW) is None
    assert ahead([replace(soon, good_since=NOW + timedelta(hours=1))], NOW) is not None
