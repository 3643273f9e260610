"""Sources that change between two steps of a copy, each time at the same place."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.faults.rolling.conftest import place_on
from tests.faults.rolling.harness import Place, assert_equal_to_rsync, tree_differences

from backstay.agent import __main__ as agent
from backstay.agent.commands import copy
from backstay.agent.tree import scan

Here = Callable[..., tuple[int, dict[str, Any]]]
"""A copy in this process, where its steps can be hooked."""


@pytest.fixture
def place(in_memory: Place) -> Place:
    return in_memory


@pytest.fixture
def here_at(capsys: pytest.CaptureFixture[str]) -> Callable[[Place], Here]:
    def at(place: Place) -> Here:
        def run(name: str, **more: Any) -> tuple[int, dict[str, Any]]:
            capsys.readouterr()
            code = agent.main(["copy", json.dumps(place.copy_task(name, **more))])
            return code, json.loads(capsys.readouterr().out.splitlines()[-1])

        return run

    return at


@pytest.fixture
def here(place: Place, here_at: Callable[[Place], Here]) -> Here:
    return here_at(place)


@pytest.fixture
def after_walk(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Given what happens to the source, have it happen between the walk and the copy."""

    def hook(happen: Callable[[], None]) -> None:
        def walked(walk: scan.Walk, processes: int) -> scan.Scan:
            found = scan.scan(walk, processes)
            happen()
            return found

        monkeypatch.setattr(copy, "scan", walked)

    return hook


def fill(place: Place, count: int) -> None:
    for number in range(count):
        (place.source / f"f{number}").write_bytes(b"x" * 100)


def empty(place: Place, left: int) -> None:
    for path in sorted(place.source.iterdir())[left:]:
        path.unlink()


@pytest.mark.parametrize("left", [0, 1])
def test_a_source_that_shrinks_between_walk_and_copy_is_refused(
    place: Place,
    here: Here,
    after_walk: Callable[[Callable[[], None]], None],
    left: int,
) -> None:
    fill(place, 20)
    place.copy("r1")
    for number in range(20):  # so that every file is copied, and none linked
        (place.source / f"f{number}").write_bytes(b"y" * 100)
    after_walk(lambda: empty(place, left))

    code, refused = here("r2")

    assert (code, refused["reason"]) == (agent.REFUSED, "SourceShrunk" if left else "SourceEmpty")
    assert [point.run for point in place.points()] == ["r1"]
    assert here("r3", shrink={"allow": True})[0] == 0
    place.assert_settled()


@pytest.fixture(params=["ext4", "btrfs"])
def on_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return place_on(request.getfixturevalue(request.param), tmp_path / "source")


@pytest.mark.parametrize("walked_last", [b"a", b"b"])
def test_a_hard_link_that_changes_between_the_walks_of_its_directories_is_reported_as_it_is(
    on_disk: Place,
    here_at: Callable[[Place], Here],
    monkeypatch: pytest.MonkeyPatch,
    walked_last: bytes,
) -> None:
    place = on_disk
    for name in ("a", "b"):
        (place.source / name).mkdir()
    (place.source / "a/f").write_bytes(b"one")
    os.link(place.source / "a/f", place.source / "b/f")
    place.copy("r1")
    directory = scan._directory

    def one_by_one(walk: scan.Walk, fd: int, path: bytes, found: scan.Scan) -> list[bytes]:
        if path == walked_last:
            (place.source / "a/f").write_bytes(b"another")
        below = directory(walk, fd, path, found)
        return sorted(below, key=lambda name: name == walked_last)

    monkeypatch.setattr(scan, "_directory", one_by_one)
    code, reported = here_at(place)("r2")
    monkeypatch.undo()

    assert code == 0, reported
    assert tree_differences(place.folder.trees / "r2") == []
    assert reported["point"]["bytes"] == sum(
        (place.data("r2") / name).stat().st_size for name in ("a/f", "b/f")
    )
    stamp = reported["point"]["stamp"]
    target = {"root": str(place.source.parent), "path": "restored"}
    assert place.agent("restore", place.task(stamp=stamp, target=target)).code == 0
    place.copy("r3")
    assert_equal_to_rsync(place.source, place.data(place.point("r3").tree))
    place.assert_settled()
