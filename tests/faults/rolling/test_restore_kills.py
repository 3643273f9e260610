"""A restore that is killed at any of its changes is done by the next try, and leaves nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.faults.rolling import killing
from tests.faults.rolling.harness import Place, fingerprint, same_as
from tests.faults.rolling.restoring import looks_of, task_onto
from tests.support.sampling import sampled

ASIDE: dict[str, Any] = {"inPlace": False}
STEP = 5
"""With a copy of what is there, that has most of the changes, and kills of its own elsewhere."""


def _fill(place: Place) -> None:
    (place.source / "a/b").mkdir(parents=True)
    (place.source / "a/b/f").write_text("1")
    (place.source / "a/b/g").write_text("2")
    (place.source / "h").write_text("3")
    os.chown(place.source / "a/b", 12, 34)
    (place.source / "a/b").chmod(0o751)


def _lose(place: Place, what: str) -> None:
    if what == "all":
        shutil.rmtree(place.source)
        return
    shutil.rmtree(place.source / "a/b")
    (place.source / "h").write_text("newer")
    os.utime(place.source / "a", ns=(1, 5_000_000_000))
    os.utime(place.source, ns=(1, 6_000_000_000))


def _looks_above(place: Place) -> list[tuple[Any, ...]]:
    """But for when they were changed: who was killed cannot put that back."""
    found = looks_of(place.source, place.source / "a")
    return [(*look[:4], *look[5:]) for look in found]


@pytest.mark.parametrize(
    ("what", "more"),
    [
        ("some", {"paths": ["a/b/f"]}),
        ("some", {}),
        ("all", {}),
        ("all", {"inPlace": False}),
    ],
    ids=["one path", "over it", "gone", "aside"],
)
def test_a_restore_killed_anywhere_is_done_by_the_next_try(
    in_memory: Place, memory: Path, what: str, more: dict[str, Any]
) -> None:
    _fill(in_memory)
    in_memory.copy("r1")
    whole = fingerprint(in_memory.source)
    kept = memory / "kept"
    _lose(in_memory, what)
    same_as(in_memory.destination, kept)
    before = _looks_above(in_memory) if what == "some" else []
    task = task_onto(in_memory, "r1", **more)
    code, changes = killing.run("restore", task, None)
    assert code == 0
    assert changes > (3 if more == ASIDE else 10)
    # The last one comes after all changes: nothing is killed.
    for kill_at in sampled([*range(0, changes, STEP if what == "some" else 1), changes]):
        _lose(in_memory, what)
        same_as(kept, in_memory.destination)
        code, _ = killing.run("restore", task, kill_at)
        assert code == (-9 if kill_at < changes else 0), kill_at

        outcome = in_memory.agent("restore", task)

        assert outcome.code == 0, (kill_at, outcome)
        assert not list(memory.rglob(".backstay-partial-*")), kill_at
        found = fingerprint(in_memory.source)
        if more.get("paths"):
            assert found[b"a/b/f"][5] == whole[b"a/b/f"][5]
            assert found[b"a/b"][:3] == whole[b"a/b"][:3], kill_at
            assert (in_memory.source / "h").read_text() == "newer"
            assert _looks_above(in_memory) == before, kill_at
        else:
            assert found == whole, kill_at
        in_memory.assert_settled()
