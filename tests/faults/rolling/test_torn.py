"""Sources that change between two steps of a copy, each time at the same place."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from tests.faults.rolling.harness import Place, tree_differences

from backstay.agent import __main__ as agent
from backstay.agent import copy, scan


@pytest.fixture
def place(in_memory: Place) -> Place:
    return in_memory


Here = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def here(place: Place, capsys: pytest.CaptureFixture[str]) -> Here:
    """Copies in this process, where the steps can be hooked."""

    def run(name: str, **more: Any) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = agent.main(["copy", json.dumps(place.copy_task(name, **more))])
        return code, json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


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


@pytest.mark.parametrize("limits", [{}, {"bandwidth": 1 << 30}], ids=["own", "rsync"])
@pytest.mark.parametrize(("left", "reason"), [(0, "SourceEmpty"), (1, "SourceShrunk")])
def test_a_source_that_shrinks_between_walk_and_copy_is_refused(
    place: Place,
    here: Here,
    after_walk: Callable[[Callable[[], None]], None],
    left: int,
    reason: str,
    limits: dict[str, int],
) -> None:
    fill(place, 20)
    place.copy("r1")
    for number in range(20):  # so that every file is copied, and none linked
        (place.source / f"f{number}").write_bytes(b"y" * 100)
    after_walk(lambda: empty(place, left))

    code, refused = here("r2", limits=limits)

    assert (code, refused["reason"]) == (agent.REFUSED, reason)
    assert [point.run for point in place.points()] == ["r1"]
    assert here("r3", limits=limits, shrink={"allow": True})[0] == 0
    place.assert_settled()
