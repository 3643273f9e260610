"""How orphans are counted while everything is looked at."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.support.builders import content, snapshot

from backstay.domain import labels
from backstay.domain.objects import Obj
from backstay.domain.stores.snapshots.orphans import (
    NAMESPACES_MAX,
    OTHERS,
    Census,
    Suspect,
    per_namespace,
)
from backstay.observe import metrics

TAKEN = "2026-11-22T00:32:00Z"


def mine(name: str, **notes: str) -> Obj:
    of = snapshot(name, TAKEN)
    made = content(of, **notes)
    made["metadata"]["labels"] |= of["metadata"]["labels"]
    return made


def suspects(census: Census) -> list[str]:
    return [s.name for s in census.suspects()]


@given(st.permutations(["one", "two", "three", "-one", "-three"]))
def test_contents_without_their_snapshot_are_suspects_in_any_order(order: list[str]) -> None:
    census = Census()
    for name in order:
        if name.startswith("-"):
            census.see_snapshot(snapshot(name[1:], TAKEN))
        else:
            census.see_content(mine(name))
    assert census.suspects() == [Suspect("team", "two", "uid-two")]


def test_what_a_sweep_removes_or_nobody_labelled_or_is_not_bound_yet_is_none() -> None:
    census = Census()
    swept = mine("swept", swept="uid-swept.2026-11-20")
    swept["metadata"]["labels"] |= {labels.DELETE_AFTER: "2026-11-20"}
    census.see_content(swept)
    bare, unbound = mine("bare"), mine("unbound")
    del bare["metadata"]["labels"]
    del unbound["spec"]["volumeSnapshotRef"]["uid"]
    census.see_content(bare)
    census.see_content(unbound)
    assert suspects(census) == []


def test_one_that_was_never_labelled_is_found_by_the_name_that_our_runs_give() -> None:
    census = Census()
    for name in ("data-20261122-0032-df8e3-1", "nightly-20261122"):
        census.see_content(content(snapshot(name, TAKEN)))
    assert suspects(census) == ["data-20261122-0032-df8e3-1"]


def test_the_count_is_by_namespace_and_bounded() -> None:
    lost = [Suspect("big", f"s{i}", f"u{i}") for i in range(3)]
    assert per_namespace(lost) == {"big": 3}
    many = [Suspect(f"n{i:03}", "s", f"v{i}") for i in range(NAMESPACES_MAX + 4)]
    counts = per_namespace([*lost, *many])
    assert len(counts) == NAMESPACES_MAX + 1
    assert (counts["big"], counts[OTHERS]) == (3, 5)
    assert sum(counts.values()) == len(lost) + len(many)


def test_a_namespace_without_orphans_is_shown_no_longer() -> None:
    metrics.on_orphans({"team": 2})
    assert b'backstay_orphans{namespace="team"} 2.0' in metrics.exposition()
    metrics.on_orphans({})
    assert b"backstay_orphans{" not in metrics.exposition()
