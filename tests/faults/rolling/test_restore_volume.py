"""Restores to the root of a new volume, which has what its file system puts there."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from tests.faults.rolling.harness import Outcome, Place, disk, fill, fingerprint
from tests.faults.rolling.restoring import REFUSED

OWN = b"lost+found"


def into(place: Place, volume: Path, run: str = "r1") -> Outcome:
    target = {"root": str(volume), "path": ""}
    task = place.task(stamp=place.point(run).stamp, target=target, newVolume=True)
    return place.agent("restore", task)


def entries(top: Path) -> dict[bytes, tuple[Any, ...]]:
    """Everything below, but for what is the file system's own: lost+found, and how large a
    directory is.
    """
    return {
        path: look if stat.S_ISREG(look[0]) else (*look[:3], *look[4:])
        for path, look in fingerprint(top).items()
        if OWN not in path
    }


@pytest.fixture
def copied(in_memory: Place) -> Place:
    fill(in_memory.source)
    in_memory.copy("r1")
    return in_memory


def test_a_new_volume_is_like_the_point_afterwards(copied: Place, tmp_path: Path) -> None:
    with disk(tmp_path, "ext4") as volume:
        assert (volume / "lost+found").is_dir()

        done = into(copied, volume)

        assert done.code == 0, done.result
        assert "lost+found" not in done.result["message"]
        assert entries(volume) == entries(copied.source)
        assert (volume / "lost+found").is_dir()


def test_what_a_killed_try_left_is_replaced_or_goes(copied: Place, tmp_path: Path) -> None:
    with disk(tmp_path, "ext4") as volume:
        (volume / ".a.Xy12z").write_text("half of a file")
        (volume / "a").mkdir()
        (volume / "a/left").write_text("of another try")

        done = into(copied, volume)

        assert done.code == 0, done.result
        assert entries(volume) == entries(copied.source)


def test_a_volume_that_is_too_small_is_refused_before_anything_is_written(
    copied: Place, tmp_path: Path
) -> None:
    (copied.source / "large").write_bytes(b"x" * 30_000_000)
    copied.copy("r2")
    with disk(tmp_path, "ext4", "20M") as volume:
        done = into(copied, volume, "r2")

        assert (done.code, done.reason) == (REFUSED, "TooLittleRoom"), done.result
        assert done.result["message"].startswith("spec.claims[].to.newClaim: ")
        assert entries(volume).keys() <= {b"", b"."}
