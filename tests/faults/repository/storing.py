"""Backups of the source of a depot, and what came of them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.faults.repository.harness import Depot, Outcome

RUN = "nightly-1"
TIME = "2026-11-22T01:02:03Z"
RECORD = {"version": 1, "backup": {"name": RUN}, "words": "ä, ß"}


def task(depot: Depot, run: str = RUN, **more: Any) -> dict[str, Any]:
    source = {"root": str(depot.source.parent), "path": depot.source.name}
    source |= more.pop("source", {})
    return {
        "run": run,
        "attempt": 1,
        "host": "shop/uploads",
        "tags": ["policy=nightly", "claim=uploads"],
        "time": TIME,
        "source": source,
        "record": RECORD,
        **more,
    }


def backup(depot: Depot, run: str = RUN, **more: Any) -> Outcome:
    return depot.agent("repository-backup", **task(depot, run, **more))


def stored(depot: Depot, run: str = RUN, **more: Any) -> Mapping[str, Any]:
    outcome = backup(depot, run, **more)
    assert (outcome.code, outcome.reason) == (0, "Stored"), outcome
    return outcome.result


def refused(outcome: Outcome, reason: str) -> str:
    assert (outcome.code, outcome.reason) == (3, reason), outcome
    assert not outcome.result["ok"]
    return str(outcome.result["message"])


def records(depot: Depot) -> list[dict[str, Any]]:
    return [one for one in depot.snapshots() if "backstay-point" in one.get("tags", [])]


def restored(depot: Depot, snapshot: str, folder: Path) -> Path:
    depot.run("restore", snapshot, "--target", str(folder))
    return folder


def same_trees(one: Path, other: Path) -> bool:
    done = subprocess.run(["diff", "-r", one, other], capture_output=True, check=False)
    return done.returncode == 0


def busy(outcome: Outcome, reason: str) -> str:
    assert (outcome.code, outcome.reason) == (75, reason), outcome
    return str(outcome.result["message"])


def whole(depot: Depot, data: str) -> None:
    """Insist that there is one point, that it has everything, and that nothing is damaged."""
    again = depot.folder / "again"
    assert same_trees(depot.source, restored(depot, data, again))
    shutil.rmtree(again)
    assert len(records(depot)) == 1
    depot.run("check", "--no-lock")
