"""What holds for the brake on shrunken backups on any series whatever."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.test_retention_properties import NOW, live_rules, series
from tests.unit.domain.retention.series import point

from backstay.domain import labels
from backstay.domain.retention.brakes import freeze
from backstay.domain.retention.forms import packed
from backstay.domain.retention.judge import judge
from backstay.domain.retention.points import Point, Rules
from backstay.domain.retention.shrinkage import shrunk

SIZES = st.lists(st.integers(min_value=0, max_value=1000), min_size=1, max_size=12)


def grown(sizes: list[int]) -> list[Point]:
    count = len(sizes)
    return [
        replace(point(f"s{n}", NOW - timedelta(hours=count - n)), sizes={"shop": size})
        for n, size in enumerate(sizes)
    ]


@given(SIZES, st.data())
def test_a_series_stays_frozen_until_a_dump_grows_back_or_a_person_accepts(
    sizes: list[int], data: st.DataObject
) -> None:
    stopped = shrunk(grown(sizes), {})
    if stopped is None:
        return
    later = data.draw(st.lists(st.integers(0, (stopped.before - 1) // 2), max_size=5))

    again = shrunk(grown([*sizes, *later]), {})

    assert again is not None
    assert again.before == stopped.before
    assert shrunk(grown([*sizes, *later, stopped.before]), {}) is None
    points = grown([*sizes, *later])
    assert shrunk(points, {"data": points[-1].taken}) is None


@given(st.lists(st.tuples(st.integers(100, 200), st.booleans()), max_size=12), st.integers(1, 20))
def test_no_change_of_compression_freezes_a_series_of_like_sizes(
    dumps: list[tuple[int, bool]], ratio: int
) -> None:
    points = [
        replace(p, forms={"shop": packed("sql") if compressed else "sql"})
        for p, (_, compressed) in zip(
            grown([size if compressed else size * ratio for size, compressed in dumps]),
            dumps,
            strict=True,
        )
    ]

    assert shrunk(points, {}) is None


@given(SIZES, SIZES)
def test_no_size_of_a_new_form_ends_a_freeze(sizes: list[int], later: list[int]) -> None:
    points = grown([*sizes, *later])
    points = [replace(p, forms={"shop": packed("sql")}) for p in points[: len(sizes)]] + [
        replace(p, forms={"shop": "sql"}) for p in points[len(sizes) :]
    ]
    before = shrunk(points[: len(sizes)], {})

    assert before is None or shrunk(points, {}) is not None


@given(series(), live_rules, SIZES)
@settings(max_examples=50)
def test_nothing_of_a_frozen_series_is_marked_or_swept(
    some: list[Point], rules: Rules, sizes: list[int]
) -> None:
    world = [*some, *grown([1001, *(size // 3 for size in sizes)])]
    stopped = shrunk(world, {})
    assert stopped is not None

    frozen = [freeze(v, stopped.freezes) for v in judge(world, rules, NOW)]

    assert not any(v.sweep or labels.MARKED_AT in v.set_annotations for v in frozen)
