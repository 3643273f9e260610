"""A node whose clock is off: copies are made, and nothing is decided by what it says."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.faults.rolling.harness import SHRINKS, Place

AHEAD, BEHIND = "2031-01-01 00:00:00", "1990-01-01 00:00:00"


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)  # noqa: TID251


def expected() -> dict[str, Any]:
    return times(now())


def times(after: datetime) -> dict[str, Any]:
    ends = {"after": timedelta(0), "before": timedelta(hours=2), "until": timedelta(days=1)}
    return {key: (after + late).isoformat() for key, late in ends.items()}


@pytest.mark.parametrize("clock", [AHEAD, BEHIND])
def test_a_point_is_made_at_the_operators_time_where_the_nodes_cannot_be(
    in_memory: Place, clock: str
) -> None:
    (in_memory.source / "a").write_text("1")
    began = now()

    result = in_memory.copy_at(clock, "r1", expected=expected())

    point = in_memory.point("r1")
    assert began <= point.moment <= now()
    assert point.stamp == point.taken.strftime("%Y-%m-%dT%H%M%SZ")
    assert point.clock.startswith(f"the clock of node worker-1 says {clock[:10]}")
    assert result["point"]["clock"] == point.clock


def test_a_clock_that_is_right_is_believed_and_not_named(in_memory: Place) -> None:
    (in_memory.source / "a").write_text("1")
    after = now() - timedelta(hours=1)

    in_memory.copy("r1", expected=times(after))

    point = in_memory.point("r1")
    assert point.moment > after + timedelta(minutes=59)
    assert point.clock == ""


@pytest.mark.parametrize("clock", [AHEAD, BEHIND])
def test_the_next_copy_goes_on_from_what_was_made_last_whatever_the_clocks_said(
    in_memory: Place, clock: str
) -> None:
    (in_memory.source / "a").write_text("1")
    in_memory.copy("r1")
    (in_memory.source / "b").write_text("1")
    in_memory.copy_at(clock, "r2")
    (in_memory.source / "big").write_bytes(os.urandom(1 << 20))
    in_memory.copy("r3")
    (in_memory.source / "c").write_text("1")
    in_memory.copy_at(clock, "r4")

    assert [point.run for point in in_memory.points()] == ["r1", "r2", "r3", "r4"]
    trees = [in_memory.data(run) for run in ("r3", "r4")]
    assert os.path.samefile(*(tree / "big" for tree in trees))


def test_what_was_made_last_is_the_measure_of_the_next_and_is_never_pruned(
    in_memory: Place,
) -> None:
    for name in "abcdefgh":
        (in_memory.source / name).write_text(name)
    in_memory.copy_at(AHEAD, "r1")
    for name in "abcdef":
        (in_memory.source / name).unlink()
    in_memory.copy("r2", **SHRINKS)
    (in_memory.source / "h").write_text("other")
    in_memory.copy("r3")  # half of the point of 2031 would be too little

    task = in_memory.task(points=[in_memory.seen(run) for run in ("r1", "r3")])
    outcomes = in_memory.agent("prune", task).result["points"]

    assert [found["outcome"] for found in outcomes] == ["done", "kept"]
    in_memory.assert_settled()


def test_a_destination_that_has_an_older_point_of_the_future_goes_on_from_newer_ones(
    in_memory: Place,
) -> None:
    """As points were before they had numbers: its slot says when it was made."""
    slot = now() - timedelta(hours=2)
    (in_memory.source / "a").write_text("1")
    in_memory.copy_at(AHEAD, "old", record={"slot": slot.isoformat()})
    (in_memory.source / "b").write_text("1")
    in_memory.copy("new", record={"slot": now().isoformat()})
    for path in in_memory.folder.points.glob("*.json"):
        raw = json.loads(path.read_text())
        del raw["seq"]
        path.write_text(json.dumps(raw))
    (in_memory.source / "c").write_text("1")

    in_memory.copy("next")

    assert [point.run for point in in_memory.points()] == ["old", "new", "next"]
    assert in_memory.point("old").moment == slot
    assert os.path.samefile(in_memory.data("new") / "b", in_memory.data("next") / "b")


def test_a_birth_date_is_counted_from_the_operators_time(in_memory: Place) -> None:
    (in_memory.source / "a").write_text("1")
    wanted = {"backstay.dev/retain": "days", "backstay.dev/retain-days": "3"}

    in_memory.copy_at(BEHIND, "r1", labels=wanted, expected=expected(), rules={"zone": "UTC"})

    ends = {(now() - timedelta(days=late) + timedelta(days=3)).date() for late in (0, 1)}
    dated = in_memory.point("r1").labels["backstay.dev/delete-after"]
    assert datetime.fromisoformat(dated).date() in ends


def test_a_point_without_its_tree_is_listed_as_lost_and_nothing_goes_on_from_it(
    in_memory: Place,
) -> None:
    for run in ("r1", "r2", "r3"):
        (in_memory.source / run).write_text(run)
        in_memory.copy(run)
    tree = in_memory.folder.trees / "r3"
    tree.rename(in_memory.folder.trees / ".elsewhere")

    listed = [json.loads(line) for line in in_memory.agent("list", in_memory.task()).lines]
    assert [raw.get("lost", False) for raw in listed] == [False, False, True]
    pruned = in_memory.agent("prune", in_memory.task(points=[in_memory.seen("r2")]))
    assert pruned.result["points"][0]["why"] == "newest good"
    stats = in_memory.copy("r4")["stats"]

    assert (stats["linked"], stats["copied"]) == (2, 1)


def test_a_point_without_its_manifest_is_listed_as_lost(in_memory: Place) -> None:
    (in_memory.source / "a").write_text("1")
    in_memory.copy("r1")
    (in_memory.folder.manifest("r1") / "0000").unlink()

    (line,) = in_memory.agent("list", in_memory.task()).lines

    assert json.loads(line)["lost"] is True


def test_a_run_whose_tree_is_gone_is_made_again(in_memory: Place) -> None:
    (in_memory.source / "a").write_text("1")
    in_memory.copy("r1")
    (in_memory.folder.trees / "r1").rename(in_memory.folder.trees / ".elsewhere")

    first = in_memory.copy("r1")
    again = in_memory.copy("r1")

    assert (first["reason"], again["reason"]) == ("Copied", "AlreadyPublished")
    assert again["point"]["stamp"] == first["point"]["stamp"]


@pytest.mark.parametrize("field", ["after", "before", "until"])
def test_an_expected_time_that_is_none_is_named(in_memory: Place, field: str) -> None:
    task = in_memory.copy_task("r1", expected={**expected(), field: "soon"})
    outcome = in_memory.agent("copy", task)
    assert (outcome.code, outcome.reason) == (2, "BadTask")
    assert f"expected.{field}" in outcome.result["message"]


def test_what_a_restore_kept_is_not_the_newest_good_one(in_memory: Place, memory: Path) -> None:
    (in_memory.source / "a").write_text("1")
    in_memory.copy("r1")
    (in_memory.source / "a").write_text("2")
    in_memory.copy("r2")
    safety = {"run": "before", "annotations": {"backstay.dev/restore-request": "uid"}}
    task = in_memory.task(
        stamp=in_memory.point("r1").stamp,
        target={"root": str(memory), "path": "source"},
        inPlace=True,
        safety={**safety, "expected": expected()},
    )
    assert in_memory.agent("restore", task).code == 0

    wanted = [in_memory.seen(run) for run in ("r2", "before")]
    outcomes = in_memory.agent("prune", in_memory.task(points=wanted)).result["points"]

    assert [found["outcome"] for found in outcomes] == ["kept", "done"]
