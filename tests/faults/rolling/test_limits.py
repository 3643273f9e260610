"""What a copy may take of the machine, and of its source: a share, and nothing but reading."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.faults.rolling.harness import ROOT, Place, assert_equal_to_rsync, fingerprint, read_only

SECOND = 1 << 20
"""Bytes that may be moved in one."""
THEN_ASK = """
import os, subprocess, sys
from backstay.agent.__main__ import main
code = main(sys.argv[1:])
subprocess.run(["ionice", "-p", str(os.getpid())])
sys.exit(code)
"""


@pytest.fixture
def place(in_memory: Place) -> Place:
    return in_memory


def io_class_of(verb: str, task: dict[str, Any]) -> str:
    """Given a command, run it and return the class in which it reads and writes."""
    done = subprocess.run(
        [sys.executable, "-c", THEN_ASK, verb, json.dumps(task)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "operator/src")},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.splitlines()[-1]


def restore_task(place: Place, **more: Any) -> dict[str, Any]:
    target = {"root": str(place.source.parent), "path": "restored"}
    return place.task(stamp=place.point("r1").stamp, target=target, **more)


@pytest.mark.parametrize(
    ("limits", "reported"),
    [
        ({"ioClass": "idle"}, "idle"),
        ({"ioClass": "best-effort", "ioPriority": 6}, "best-effort: prio 6"),
    ],
)
def test_every_verb_that_reads_content_does_so_in_the_class_that_is_asked_for(
    place: Place, limits: dict[str, Any], reported: str
) -> None:
    (place.source / "file").write_bytes(b"content")

    assert io_class_of("copy", place.copy_task("r1", limits=limits)) == reported
    seen = {"stamp": place.point("r1").stamp, "limits": limits}
    assert io_class_of("verify-tree", place.task(hash=True, **seen)) == reported
    assert io_class_of("scrub", place.task(days=1, limits=limits)) == reported
    assert io_class_of("restore", restore_task(place, limits=limits)) == reported
    assert_equal_to_rsync(place.source, place.source.parent / "restored")


def test_a_copy_and_a_restore_keep_below_the_bandwidth(place: Place) -> None:
    """A bound from below only: a slow machine may take longer."""
    (place.source / "file").write_bytes(os.urandom(SECOND))
    (place.source / "linked").write_bytes(os.urandom(SECOND))
    os.link(place.source / "linked", place.source / "too")
    with closing(sqlite3.connect(place.source / "app.db")) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE t AS SELECT randomblob(?) AS b", (SECOND,))
        database.commit()
        limits = {"bandwidth": SECOND}

        copied = place.copy("r1", limits=limits)

    restored = place.agent("restore", restore_task(place, limits=limits))
    assert restored.code == 0, restored
    assert copied["notes"]["databases"]["count"] == 1
    assert copied["seconds"] >= 2.9, copied
    assert restored.result["seconds"] >= 2, restored
    assert_equal_to_rsync(place.data("r1"), place.source.parent / "restored")


def test_a_source_that_is_mounted_read_only_is_copied(place: Place, memory: Path) -> None:
    (place.source / "folder").mkdir()
    (place.source / "folder/file").write_bytes(b"content")
    os.setxattr(place.source / "folder/file", "user.k", b"v")
    (place.source / "link").symlink_to("folder/file")
    before = fingerprint(place.source)

    with read_only(place, memory / "mounted") as job:
        with pytest.raises(OSError, match="Read-only"):
            (job.source / "file").touch()
        job.copy("r1")
        assert job.copy("r2")["reason"] == "Unchanged"

    assert_equal_to_rsync(place.source, place.data("r1"))
    assert fingerprint(place.source) == before
