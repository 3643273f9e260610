"""Whatever happened to a source and to a pruned tree, the next tree is the one made without it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.faults.rolling import killing
from tests.faults.rolling.conftest import place_on
from tests.faults.rolling.harness import (
    SHRINKS,
    assert_equal_to_rsync,
    fingerprint,
    setfacl,
    spare_of,
    tree_differences,
    without_spare,
)
from tests.support.sampling import searched

NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(lambda parts: Path(*parts))
DEEDS = st.sampled_from(
    ["write", "mkdir", "remove", "link", "symlink", "chmod", "chown", "acl", "attribute", "touch"]
)
Deeds = list[tuple[str, Path, Path, int]]
HISTORY = st.lists(st.tuples(DEEDS, PATHS, PATHS, st.integers(0, 3)), max_size=12)


def do(top: Path, deeds: Deeds, *, files: bool = True) -> None:
    """Do things in a tree, those that can be done there; without `files`, none to a file that it
    shares with other trees.
    """
    for deed, path, other, number in deeds:
        if files or deed in {"remove", "link", "symlink"} or not (top / path).is_file():
            act(top, deed, path, other, number)


def act(top: Path, deed: str, path: Path, other: Path, number: int) -> None:
    one, two = top / path, top / other
    try:
        match deed:
            case "write":
                one.write_bytes(b"x" * number)
            case "mkdir":
                one.mkdir(parents=True)
                (one / "f").write_bytes(b"in it")
            case "remove":
                shutil.rmtree(one) if one.is_dir() and not one.is_symlink() else one.unlink()
            case "link":
                os.link(one, two, follow_symlinks=False)
            case "symlink":
                two.symlink_to(path)
            case "chmod":
                one.chmod([0o2755, 0o700, 0o777, 0o4711][number])
            case "chown":
                os.chown(one, number, 1000 + number)
            case "acl":
                setfacl("-dm", one)
            case "attribute":
                os.setxattr(one, "user.k", b"v" * number)
            case "touch":
                os.utime(one, (number, number))
    except (OSError, subprocess.CalledProcessError):
        pass  # most paths are not there, and most things need one of a kind


def run(verb: str, task: dict[str, Any]) -> None:
    """As place.agent() does, without starting Python again."""
    assert killing.run(verb, task, None)[0] == 0


@searched(25)
@given(first=HISTORY, second=HISTORY, damage=HISTORY, third=HISTORY)
def test_a_tree_on_a_pruned_one_is_the_tree_made_without_it(
    ext4: Path, first: Deeds, second: Deeds, damage: Deeds, third: Deeds
) -> None:
    with tempfile.TemporaryDirectory(dir=ext4) as name:
        place = place_on(Path(name), Path(name, "source"))
        (place.source / "a/b/c").mkdir(parents=True)
        (place.source / "a/b/f").write_bytes(b"f")
        (place.source / "day").write_bytes(b"1")
        do(place.source, first)
        run("copy", place.copy_task("r1", **SHRINKS))
        (place.source / "day").write_bytes(b"22")
        do(place.source, second)
        run("copy", place.copy_task("r2", **SHRINKS))
        run("prune", place.task(points=[place.seen("r1")]))
        do(spare_of(place) / "data", damage, files=False)
        (place.source / "day").write_bytes(b"333")
        do(place.source, third)
        before = fingerprint(place.data("r2"))
        fresh = without_spare(place, Path(name, "fresh"))

        stats = place.copy("r3", **SHRINKS)["stats"]

        assert stats == fresh
        assert_equal_to_rsync(place.source, place.data("r3"))
        assert tree_differences(place.folder.trees / "r3") == []
        assert fingerprint(place.data("r2")) == before
        place.assert_settled()
