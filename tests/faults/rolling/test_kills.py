"""kill -9 anywhere: no copy that only looks good, no older copy changed, and the next run heals."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.faults.rolling import killing
from tests.faults.rolling.harness import (
    Place,
    assert_equal_to_rsync,
    assert_links_add_up,
    fingerprint,
    same_as,
)
from tests.support.sampling import sampled

POINTS = int(os.environ.get("BACKSTAY_KILL_POINTS", "60"))
"""About so many points of each command, spread over all that it has."""
FEWEST = 200
"""Of all commands together, without those on btrfs."""
ONE = {"limits": {"processes": 1}}
DUMP = {"name": "d", "path": "a/f1", "sha256": hashlib.sha256(b"changed").hexdigest()}


def fill(top: Path) -> None:
    for folder in ("a", "b/c", "b/d"):
        (top / folder).mkdir(parents=True)
        for number in range(4):
            (top / folder / f"f{number}").write_bytes(f"{folder}{number}".encode() * 50)
    os.link(top / "a/f0", top / "b/linked")
    os.symlink("a/f1", top / "link")
    os.setxattr(top / "a/f1", "user.k", b"v")


def change(top: Path) -> None:
    (top / "a/f1").write_bytes(b"changed")
    (top / "b/d/new").write_bytes(b"new")
    (top / "b/c/f2").unlink()
    shutil.rmtree(top / "b/d")
    (top / "e").mkdir()
    (top / "e/f").write_bytes(b"f")
    os.link(top / "a/f0", top / "e/also")


@dataclass(frozen=True, slots=True)
class Story:
    """A command to be killed, and what is there before it."""

    verb: str
    prepare: Callable[[Place], None]
    task: Callable[[Place], dict[str, Any]]


def _one_point(place: Place) -> None:
    fill(place.source)
    place.copy("r1", **ONE)


def _changed(place: Place) -> None:
    _one_point(place)
    change(place.source)


def _two_trees(place: Place) -> None:
    _changed(place)
    place.copy("r2", **ONE)


def _an_alias(place: Place) -> None:
    _one_point(place)
    place.copy("r2", **ONE)


def _a_spare(place: Place) -> None:
    _two_trees(place)
    place.agent("prune", _prune_first(place))
    (place.source / "a/f2").write_bytes(b"of the third day")
    shutil.rmtree(place.source / "e")
    (place.source / "g").mkdir()
    (place.source / "g/f").write_bytes(b"g")


def _a_spare_and_two_trees(place: Place) -> None:
    _two_trees(place)
    (place.source / "e/f").write_bytes(b"again")
    place.copy("r3", **ONE)
    place.agent("prune", place.task(points=[place.seen("r2")]))


def _prune_first(place: Place) -> dict[str, Any]:
    return place.task(points=[place.seen("r1")])


def _relabel_both(place: Place) -> dict[str, Any]:
    labels = {"backstay.dev/daily": None, "backstay.dev/hold": "true"}
    return place.task(points=[{**place.seen(run), "labels": labels} for run in ("r1", "r2")])


STORIES = {
    "the first copy": Story("copy", lambda p: fill(p.source), lambda p: p.copy_task("r1", **ONE)),
    "a copy of changes": Story("copy", _changed, lambda p: p.copy_task("r2", **ONE, dumps=[DUMP])),
    "a copy by two processes": Story("copy", _changed, lambda p: p.copy_task("r2")),
    "a point of an unchanged source": Story("copy", _one_point, lambda p: p.copy_task("r2", **ONE)),
    "a copy onto a pruned tree": Story("copy", _a_spare, lambda p: p.copy_task("r3", **ONE)),
    "a prune that takes a tree": Story("prune", _a_spare_and_two_trees, _prune_first),
    "a prune that keeps its tree": Story("prune", _two_trees, _prune_first),
    "a prune that leaves the tree": Story("prune", _an_alias, _prune_first),
    "a relabel": Story("relabel", _two_trees, _relabel_both),
}


@pytest.fixture(params=STORIES)
def story(request: pytest.FixtureRequest) -> Story:
    return STORIES[request.param]


def test_a_kill_leaves_only_whole_copies_and_the_next_run_heals(story: Story, memory: Path) -> None:
    place = Place(memory / "source", memory / "destination")
    place.source.mkdir()
    place.destination.mkdir()
    place.init()
    story.prepare(place)
    _sweep(story, place, memory / "as-it-was")


def test_the_sweep_has_at_least_two_hundred_points(memory: Path) -> None:
    """Each of them is a kill: the sweep insists on that. `make test` takes a part of them."""
    swept = 0
    for number, story in enumerate(STORIES.values()):
        place = Place(memory / f"source{number}", memory / f"destination{number}")
        place.source.mkdir()
        place.destination.mkdir()
        place.init()
        story.prepare(place)
        code, changes = killing.run(story.verb, story.task(place), None)
        assert code == 0
        swept += len(_points(changes, POINTS))
    assert swept >= FEWEST


@pytest.mark.parametrize(
    "name", ["the first copy", "a copy of changes", "a prune that takes a tree"]
)
def test_a_kill_on_btrfs_does_no_more_harm(name: str, btrfs: Path, tmp_path: Path) -> None:
    """Trees are snapshots there. Each point starts from a new destination."""
    story = STORIES[name]
    _, changes = killing.run(story.verb, *_prepared(story, btrfs, tmp_path, 0), None)
    for at in sampled(_points(changes, POINTS // 3)):
        place, task = _place_at(story, btrfs, tmp_path, at)
        before = _copies(place)
        code, _ = killing.run(story.verb, task, at)
        _check_killed(place, before, code)
        _heal(story, place, task)


def _prepared(story: Story, btrfs: Path, tmp_path: Path, at: int) -> tuple[dict[str, Any]]:
    return (_place_at(story, btrfs, tmp_path, at)[1],)


def _place_at(story: Story, btrfs: Path, tmp_path: Path, at: int) -> tuple[Place, dict[str, Any]]:
    place = Place(tmp_path / f"source-{at}-{story.verb}", btrfs / f"{tmp_path.name}-{at}")
    shutil.rmtree(place.source, ignore_errors=True)
    shutil.rmtree(place.destination, ignore_errors=True)
    place.source.mkdir()
    place.destination.mkdir()
    place.init()
    story.prepare(place)
    return place, story.task(place)


def _points(changes: int, most: int) -> list[int]:
    """Spread over all of them, the last ones (where it is published) always."""
    last = range(max(0, changes - 12), changes)
    step = max(1, changes // most)
    return sorted({*range(0, changes, step), *last})


def _sweep(story: Story, place: Place, kept: Path) -> None:
    same_as(place.destination, kept)
    task = story.task(place)
    code, changes = killing.run(story.verb, task, None)
    assert code == 0
    wanted = _state(place)
    killed = 0
    points = sampled(_points(changes, POINTS))
    for at in points:
        same_as(kept, place.destination)
        before = _copies(place)
        code, _ = killing.run(story.verb, task, at)
        killed += code == -9
        _check_killed(place, before, code)
        _heal(story, place, task)
        assert _state(place) == wanted, f"killed at {at}"
    assert killed == len(points)


def _copies(place: Place) -> dict[str, dict[bytes, tuple[Any, ...]]]:
    """Every byte of every copy that is there."""
    return {point.tree: fingerprint(place.data(point.tree)) for point in place.points()}


def _check_killed(place: Place, before: dict[str, dict[bytes, tuple[Any, ...]]], code: int) -> None:
    assert code in {0, -9}
    place.assert_trees_are_whole()
    if place.folder.trees.is_dir():
        assert_links_add_up(place.folder.trees)
    named = {point.tree for point in place.points()}
    for tree, was in before.items():
        if tree in named:
            assert fingerprint(place.data(tree)) == was, f"{tree} has changed"


def _heal(story: Story, place: Place, task: dict[str, Any]) -> None:
    """The same command again, as a Job's next attempt; a prune sees the points again."""
    code, _ = killing.run(story.verb, task, None)
    assert code == 0
    place.assert_settled()
    if story.verb == "copy":
        assert_equal_to_rsync(place.source, place.data(place.point(str(task["run"])).tree))


def _state(place: Place) -> dict[str, Any]:
    """What must be the same however often it was killed: points by run, and their trees."""
    return {
        point.run: (point.tree, dict(point.labels), fingerprint(place.data(point.tree)))
        for point in place.points()
    }
