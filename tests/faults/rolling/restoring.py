"""Restores as a Job runs them, for the tests of bad days."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.faults.rolling.harness import ROOT, Outcome, Place

REFUSED = 3
_CRASH = """
import os, sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA cache_size=5")
c.execute("BEGIN")
c.execute("UPDATE seen SET n = zeroblob(2000)")
os.kill(os.getpid(), 9)
"""


def task_onto(place: Place, run: str, **more: Any) -> dict[str, Any]:
    """The task of a restore of a run's point over its source."""
    target = {"root": str(place.source.parent), "path": place.source.name}
    safety = {
        "run": "before",
        "labels": {"backstay.dev/backup": "before-it"},
        "annotations": {"backstay.dev/restore-request": "uid"},
    }
    task = place.task(stamp=place.point(run).stamp, target=target, inPlace=True, safety=safety)
    return {**task, **more}


def onto(place: Place, run: str, **more: Any) -> Outcome:
    """Restore a run's point over its source."""
    return place.agent("restore", task_onto(place, run, **more))


def aside(place: Place, run: str, target: Path, root: Path | None = None, **more: Any) -> Outcome:
    """Restore a run's point to a new directory, below the root that is mounted (its parent)."""
    root = root or target.parent
    where = {"root": str(root), "path": str(target.relative_to(root))}
    task = place.task(stamp=place.point(run).stamp, target=where)
    return place.agent("restore", {**task, **more})


def environment(task: dict[str, Any]) -> dict[str, str]:
    """The environment of a Job with this task."""
    source = str(ROOT / "operator/src")
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": source,
        "BACKSTAY_TASK": json.dumps(task),
    }


def crash_a_writer(database: Path) -> None:
    """Leave a database with a hot journal: its writer is killed within a transaction."""
    subprocess.run([sys.executable, "-c", _CRASH, database], check=False)
    assert database.with_name(f"{database.name}-journal").stat().st_size > 0


@contextmanager
def mounted(at: Path, *words: str | Path) -> Iterator[Path]:
    """Mount something at a path; a file system in memory if no words say what."""
    subprocess.run(["mount", *(words or ("-t", "tmpfs", "test")), at], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", at], check=True)


def looks_of(*paths: Path) -> list[tuple[Any, ...]]:
    """Everything of directories that a restore of something in them must not change."""
    found = []
    for path in paths:
        one = os.stat(path, follow_symlinks=False)
        attributes = {name: os.getxattr(path, name) for name in os.listxattr(path)}
        found.append((path, one.st_mode, one.st_uid, one.st_gid, one.st_mtime_ns, attributes))
    return found
