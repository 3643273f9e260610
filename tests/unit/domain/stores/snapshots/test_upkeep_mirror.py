"""What a pass writes onto the contents of snapshots, so that they can be found by it."""

from __future__ import annotations

import pytest
from tests.support.builders import content, record, snapshot
from tests.support.snapshot_passes import OLD, PREFIX, TODAY, by_name, mirrored, seen, writes

from backstay.domain import labels, objects


def test_a_new_good_point_is_labelled_and_mirrored_onto_its_content() -> None:
    point = snapshot("a", TODAY, notes={"record": record(), "policy": "a long name"})

    item = by_name(seen(point))["a"]

    assert item.snapshot is not None
    assert item.snapshot.labels == {PREFIX + "daily": "2026-11-22"}
    assert item.snapshot.annotations == {}
    assert item.content is not None
    assert item.content.labels == {**objects.labels(point), PREFIX + "daily": "2026-11-22"}
    assert item.content.annotations == {
        labels.RUN: "run-a",
        labels.RECORD: record(),
        labels.POLICY: "a long name",
    }
    assert item.content.spec == {"deletionPolicy": "Retain"}
    assert item.sweep is None


def test_a_mirrored_series_needs_nothing() -> None:
    point = snapshot("a", TODAY, extra={"daily": "2026-11-22"})

    assert writes(seen(point, contents=[mirrored(point)])) == []


@pytest.mark.parametrize("result", ["good", "failed"])
def test_a_point_with_a_date_is_retain_before_a_sweep_comes_to_it(result: str) -> None:
    """In the write that mirrors the date: the sweep takes none for it."""
    point = snapshot("a", OLD, result=result, extra={"delete-after": "2026-11-30"})

    item = by_name(seen(point, snapshot("new", TODAY)))["a"]

    assert item.content is not None
    assert item.content.labels[labels.DELETE_AFTER] == "2026-11-30"
    assert item.content.spec == {"deletionPolicy": "Retain"}


@pytest.mark.parametrize("result", ["pending", "failed", None])
def test_only_good_points_are_made_retain(result: str | None) -> None:
    point = snapshot("a", TODAY, result=result)

    item = by_name(seen(point, running=frozenset({"run-a"})))["a"]

    assert item.content is not None
    assert item.content.spec == {}


def test_what_is_gone_from_the_snapshot_goes_from_its_content_and_foreign_words_stay() -> None:
    point = snapshot("a", TODAY, extra={"daily": "2026-11-22"})
    known = mirrored(point, **{"marked-at": "2026-11-21T00:00:00+00:00"})
    known["metadata"]["labels"] |= {PREFIX + "hold": "true", "team": "red"}

    item = by_name(seen(point, contents=[known]))["a"]

    assert item.content is not None
    assert item.content.labels == {PREFIX + "hold": None}
    assert item.content.annotations == {labels.MARKED_AT: None}


def test_a_content_of_another_snapshot_is_left_alone() -> None:
    point = snapshot("a", TODAY, extra={"daily": "2026-11-22"})
    foreign = content(point)
    foreign["spec"]["volumeSnapshotRef"]["uid"] = "uid-of-another"

    assert writes(seen(point, contents=[foreign])) == []
