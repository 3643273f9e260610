"""Who waits for whom: one series for itself, nobody for another's copy, and room is shared out."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.faults.rolling.harness import ROOT, Place, disk
from tests.support.waiting import eventually

from backstay.domain.stores.copies.points import Series

BUSY = 75
ENDLESS = {"limits": {"bandwidth": 1}}


@pytest.fixture
def two(in_memory: Place, memory: Path) -> tuple[Place, Place]:
    """Two tenants with a point each at one destination."""
    return neighbours(in_memory, memory)


def neighbours(place: Place, memory: Path) -> tuple[Place, Place]:
    other = replace(
        place,
        source=memory / "theirs",
        series=Series("blog", "uploads", "hostPath", "worker-1", "/srv/uploads"),
    )
    other.source.mkdir()
    for one in (place, other):
        (one.source / "file").write_bytes(b"1")
        one.copy("r1")
        (one.source / "file").write_bytes(b"22")
        one.copy("r2")
    return place, other


def verbs(place: Place, run: str) -> dict[str, Callable[[], int]]:
    """Every verb on a series, without a wait for any lock."""
    now = {"lockSeconds": 0}
    first = place.seen("r1")
    target = {"root": str(place.source.parent), "path": f"restored-{run}"}

    def ask(verb: str, **more: Any) -> int:
        return place.agent(verb, {**place.task(**more), **now}).code

    labels = {"backstay.dev/hold": "true"}
    return {
        "init": lambda: ask("init"),
        "list": lambda: ask("list"),
        "verify-tree": lambda: ask("verify-tree", stamp=first["stamp"]),
        "scrub": lambda: ask("scrub", days=1),
        "restore": lambda: ask("restore", stamp=first["stamp"], target=target),
        "relabel": lambda: ask("relabel", points=[{**first, "labels": labels}]),
        "prune": lambda: ask("prune", points=[first]),
        "copy": lambda: place.agent("copy", {**place.copy_task(run), **now}).code,
    }


@contextmanager
def held(lock: Path, kind: int) -> Iterator[None]:
    with lock.open() as file:
        fcntl.flock(file, kind)
        yield


@pytest.mark.parametrize("kind", [fcntl.LOCK_EX, fcntl.LOCK_SH], ids=["writing", "reading"])
def test_nothing_of_one_series_waits_for_another(two: tuple[Place, Place], kind: int) -> None:
    place, other = two
    (other.source / "file").write_bytes(b"333")
    with held(place.folder.path / ".lock", kind):
        assert {name: call() for name, call in verbs(other, "r3").items()} == dict.fromkeys(
            verbs(other, "r3"), 0
        )
        everything = {"destination": place.task()["destination"], "lockSeconds": 0}
        assert place.agent("list", everything).code == 0


@pytest.mark.parametrize(
    ("kind", "waiting"),
    [
        (fcntl.LOCK_EX, {"verify-tree", "scrub", "restore", "relabel", "prune", "copy"}),
        (fcntl.LOCK_SH, {"relabel", "prune", "copy"}),
    ],
    ids=["writing", "reading"],
)
def test_one_series_waits_for_itself(
    two: tuple[Place, Place], kind: int, waiting: set[str]
) -> None:
    place, _ = two
    (place.source / "file").write_bytes(b"333")
    with held(place.folder.path / ".lock", kind):
        found = {name: call() for name, call in verbs(place, "r3").items()}
    assert {name for name, code in found.items() if code == BUSY} == waiting
    assert {code for name, code in found.items() if name not in waiting} == {0}


def test_who_is_kept_waiting_is_reported_by_what(in_memory: Place) -> None:
    in_memory.copy("r1", shrink={"allow": True})
    with held(in_memory.folder.path / ".lock", fcntl.LOCK_SH):
        reported = in_memory.agent("prune", {**in_memory.task(points=[]), "lockSeconds": 1})
    assert (reported.code, reported.reason) == (BUSY, "Busy")
    for word in (in_memory.series.key, "1 s", "backstay.dev/policy=uploads"):
        assert word in reported.result["message"]


def test_the_lock_of_all_is_asked_for_by_a_copy_with_something_to_write_alone(
    two: tuple[Place, Place],
) -> None:
    place, _ = two
    with held(place.destination / ".backstay.lock", fcntl.LOCK_EX):
        found = {name: call() for name, call in verbs(place, "r3").items()}
        (place.source / "file").write_bytes(b"333")
        changed = verbs(place, "r4")["copy"]()
    assert found == dict.fromkeys(found, 0)
    assert changed == BUSY


@contextmanager
def endless(place: Place, run: str) -> Iterator[None]:
    """A copy that is at work as long as the block lasts."""
    copying = subprocess.Popen(
        [sys.executable, "-m", "backstay.agent", "copy"],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "operator/src"),
            "BACKSTAY_TASK": json.dumps(place.copy_task(run, **ENDLESS)),
        },
        stdout=subprocess.DEVNULL,
    )
    room = place.destination / ".backstay.room"
    try:
        eventually(lambda: room.is_dir() and any(room.iterdir()), "the copy to be under way")
        yield
    finally:
        copying.kill()
        copying.wait()


def test_an_endless_copy_keeps_no_other_tenant_waiting(two: tuple[Place, Place]) -> None:
    place, other = two
    (place.source / "more").write_bytes(b"x" * 100_000)
    (other.source / "file").write_bytes(b"333")
    with endless(place, "r3"):
        found = {name: call() for name, call in verbs(other, "r3").items()}
        assert place.agent("list", {**place.task(), "lockSeconds": 0}).code == 0
    assert found == dict.fromkeys(found, 0)
    place.copy("r3", lockSeconds=30)
    place.assert_settled()
    other.assert_settled()


def test_two_copies_at_once_do_not_count_the_same_room(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    with disk(folder, "ext4", "48M") as mount:
        base = Place(tmp_path / "ours", mount / "dst")
        base.source.mkdir()
        base.destination.mkdir()
        base.init()
        place, other = neighbours(base, tmp_path)
        free = os.statvfs(mount).f_bavail * os.statvfs(mount).f_frsize
        for one in (place, other):
            (one.source / "big").write_bytes(os.urandom(free * 2 // 3))
        with endless(place, "r3"):
            reported = other.agent("copy", other.copy_task("r3"))
            assert (reported.code, reported.reason) == (BUSY, "Busy")
            assert "other copies under way" in reported.result["message"]
        eventually(lambda: not locked(place.folder.path / ".lock"), "the killed copy to be over")
        other.copy("r3")
        assert list((mount / "dst/.backstay.room").iterdir()) == []


def locked(lock: Path) -> bool:
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_many_copies_at_once_get_along(in_memory: Place, memory: Path) -> None:
    """They reserve room, end, and remove what they reserved, all at the same time."""
    places = []
    for number in range(6):
        series = Series(f"team-{number}", "uploads", "hostPath", "worker-1", "/srv/uploads")
        places.append(replace(in_memory, source=memory / f"of-{number}", series=series))
        places[-1].source.mkdir()

    def copies(place: Place) -> list[str]:
        reported = []
        for run in range(3):
            (place.source / "file").write_bytes(bytes(run + 1))
            reported.append(str(place.copy(f"r{run}", lockSeconds=60)["reason"]))
        return reported

    with ThreadPoolExecutor(len(places)) as pool:
        assert list(pool.map(copies, places)) == [["Copied"] * 3] * len(places)
    assert list((in_memory.destination / ".backstay.room").iterdir()) == []
    for place in places:
        place.assert_settled()
