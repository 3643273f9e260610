"""Entries that cannot be read: no point and a name, or, where that is asked for, a point without
them that says so.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hack.cluster.kit.packages import Package, ensure
from tests.faults.rolling import injecting
from tests.faults.rolling.conftest import place_on
from tests.faults.rolling.harness import Place, assert_equal_to_rsync, fingerprint
from tests.support.waiting import eventually

from backstay.agent.tree.scan import LONGEST

ONE = {"limits": {"processes": 1}}


@pytest.fixture
def filled(in_memory: Place) -> Place:
    fill(in_memory.source)
    return in_memory


def fill(source: Path) -> None:
    for name in ("good", "bad", "sub/good", "sub/bad", "dir/one", "dir/in/two"):
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}")
    (source / "link").symlink_to("good")


def lenient(place: Place, run: str, **more: Any) -> dict[str, Any]:
    source = {"root": str(place.source.parent), "path": place.source.name}
    return place.copy_task(run, source={**source, "allowUnreadable": True}, **ONE, **more)


def copy_without(place: Place, run: str, *names: bytes, **more: Any) -> dict[str, Any]:
    """Copy while these names cannot be read."""
    fails = injecting.of_names(place.source, *names)
    found = injecting.run("copy", lenient(place, run, **more), fails)
    assert found["code"] == 0, found
    return found


def missing(place: Place, run: str) -> list[str]:
    point = place.point(run)
    return list(point.unread.examples) if point.unread else []


@pytest.mark.parametrize(
    ("name", "reported"),
    [(b"bad", "at bad of the source"), (b"dir", "at dir of the source"), (b"link", "at link")],
)
def test_one_entry_that_cannot_be_read_fails_the_copy_by_its_name(
    filled: Place, name: bytes, reported: str
) -> None:
    fails = injecting.of_names(filled.source, name)
    found = injecting.run("copy", filled.copy_task("r1", **ONE), fails)
    assert (found["code"], found["reason"]) == (1, "Failed")
    for word in (
        "Input/output error",
        reported,
        "spec.rolling.exclude",
        "spec.rolling.allowUnreadable",
    ):
        assert word in found["message"]
    assert filled.points() == []


def test_a_copy_without_them_says_what_is_missing(filled: Place) -> None:
    found = copy_without(filled, "r1", b"bad", b"in")

    assert found["reason"] == "Copied"
    assert "3 entries could not be read and are missing: bad, dir/in, sub/bad" in found["message"]
    unread = filled.point("r1").unread
    assert unread is not None
    assert (unread.count, unread.examples) == (3, ("bad", "dir/in", "sub/bad"))
    assert sorted(map(os.fsdecode, fingerprint(filled.data("r1")))) == [
        *("dir", "dir/one", "good", "link", "sub", "sub/good")
    ]
    filled.assert_settled()
    stamp = filled.point("r1").stamp
    verified = filled.agent("verify-tree", filled.task(stamp=stamp, hash=True))
    assert verified.reason == "Verified"
    assert "are missing: bad, dir/in, sub/bad" in verified.result["message"]
    target = {"root": str(filled.source.parent), "path": "back"}
    assert filled.agent("restore", filled.task(stamp=stamp, target=target)).code == 0


def test_what_can_be_read_again_is_in_the_next_copy_though_nothing_of_it_moved(
    filled: Place,
) -> None:
    copy_without(filled, "r1", b"bad", b"dir")
    assert missing(filled, "r1") == ["bad", "dir", "sub/bad"]

    found = filled.agent("copy", lenient(filled, "r2")).result

    assert found["reason"] == "Copied"
    assert filled.point("r2").unread is None
    assert_equal_to_rsync(filled.source, filled.data("r2"))


@pytest.mark.parametrize("kind", ["ext4", "btrfs", "memory"])
def test_an_older_copy_of_what_cannot_be_read_does_not_stand_for_it(
    kind: str, request: pytest.FixtureRequest, memory: Path
) -> None:
    mount = memory if kind == "memory" else request.getfixturevalue(kind)
    place = place_on(mount, memory / "source")
    fill(place.source)
    place.copy("r1")
    (place.source / "bad").write_text("changed since")
    (place.source / "good").write_text("changed too")

    copy_without(place, "r2", b"bad", b"dir")

    assert missing(place, "r2") == ["bad", "dir"]
    there = sorted(map(os.fsdecode, fingerprint(place.data("r2"))))
    # What nothing moved of is as it was copied, and needs not be read.
    assert there == ["good", "link", "sub", "sub/bad", "sub/good"]
    place.assert_settled()
    place.agent("prune", place.task(points=[place.seen("r2")]))
    place.copy("r3")
    assert_equal_to_rsync(place.source, place.data("r3"))


def test_what_cannot_be_read_is_not_taken_for_gone(filled: Place) -> None:
    """Most of the source lies below one directory."""
    for number in range(50):
        (filled.source / f"dir/in/{number}").write_text("x" * 100)
    filled.copy("r1")

    for run in ("r2", "r3"):
        copy_without(filled, run, b"dir")  # not SourceShrunk
        assert missing(filled, run) == ["dir"]
    shutil.rmtree(filled.source / "dir")
    reported = filled.agent("copy", lenient(filled, "r4"))

    assert (reported.code, reported.reason) == (3, "SourceShrunk")


def test_the_newest_point_in_which_nothing_is_missing_is_never_pruned(filled: Place) -> None:
    filled.copy("r1")
    for number in (2, 3, 4):
        (filled.source / "bad").write_text(f"changed {number}")
        copy_without(filled, f"r{number}", b"bad")
    outcomes = {}
    for run in ("r1", "r2", "r3", "r4"):
        (answer,) = filled.agent("prune", filled.task(points=[filled.seen(run)])).result["points"]
        outcomes[run] = answer.get("why", answer["outcome"])
    assert outcomes == {
        "r1": "newest that lacks nothing",
        "r2": "done",
        "r3": "done",
        "r4": "newest good",
    }


def test_the_source_itself_must_be_readable(filled: Place) -> None:
    def no_scandir(call: str, arguments: tuple[Any, ...], _: int | None) -> int | None:
        return errno.EIO if call == "scandir" and isinstance(arguments[0], int) else None

    reported = injecting.run("copy", lenient(filled, "r1"), no_scandir)
    assert (reported["code"], reported["reason"]) == (1, "Failed")
    assert "at . of the source" in reported["message"]


@contextmanager
def dead_mount(at: Path, behind: Path) -> Iterator[None]:
    """A directory whose file server has gone: not even its inode can be had."""
    at.mkdir(exist_ok=True)
    behind.mkdir(exist_ok=True)
    server = subprocess.Popen(["bindfs", "-f", behind, at])
    try:
        eventually(lambda: os.path.ismount(at), "bindfs to be there")
        server.kill()
        server.wait()
        # The kernel goes on giving out for a second what it knows of it.
        eventually(lambda: not os.access(at, os.F_OK), "the server to be missed")
        yield
    finally:
        subprocess.run(["umount", "-l", at], check=True)


@pytest.fixture
def bindfs() -> None:
    ensure((Package("bindfs", "bindfs"),))


@pytest.mark.usefixtures("bindfs")
def test_a_file_server_that_is_gone_costs_what_it_served_and_no_more(
    filled: Place, memory: Path
) -> None:
    with dead_mount(filled.source / "served", memory / "behind"):
        failed = filled.agent("copy", filled.copy_task("r1"))
        assert "served of the source" in failed.result["message"]
        excluded = {"root": str(filled.source.parent), "path": "source", "exclude": ["/served/"]}
        assert filled.copy("r1", source=excluded)["reason"] == "Copied"
        for run, reason in (("r2", "Copied"), ("r3", "Unchanged")):
            found = filled.agent("copy", lenient(filled, run))
            # The first one without that pattern has nothing else to do.
            assert (found.code, found.reason) in {(0, reason), (0, "Unchanged")}
            assert missing(filled, run) == ["served"]
    assert filled.agent("copy", lenient(filled, "r4")).result["reason"] == "Copied"
    assert missing(filled, "r4") == []
    assert_equal_to_rsync(filled.source, filled.data("r4"))


def deep(place: Place, length: int) -> str:
    """Make a file whose path has that many bytes; return the path."""
    fd = os.open(place.source, os.O_RDONLY)
    parts = []
    left = length
    while left > 200:
        parts.append("d" * 99)
        left -= 100
    for part in parts:
        os.mkdir(part, dir_fd=fd)
        below = os.open(part, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("f" * left, os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    return "/".join([*parts, "f" * left])


def test_the_longest_path_that_is_copied_can_be_verified_and_restored(filled: Place) -> None:
    assert len(deep(filled, LONGEST)) == LONGEST
    filled.copy("r1")
    filled.copy("r2", shrink={"allow": True})
    stamp = filled.point("r1").stamp
    assert filled.agent("verify-tree", filled.task(stamp=stamp, hash=True)).reason == "Verified"
    target = {"root": str(filled.source.parent), "path": "back"}
    outcome = filled.agent("restore", filled.task(stamp=stamp, target=target))
    assert outcome.code == 0, outcome
    subprocess.run(["rm", "-r", filled.source.parent / "back"], check=True)


@pytest.mark.parametrize("length", [LONGEST + 1, 4500])
def test_a_path_that_is_too_long_is_reported_or_left_out(filled: Place, length: int) -> None:
    deep(filled, length)
    failed = filled.agent("copy", filled.copy_task("r1"))
    assert (failed.code, failed.reason) == (1, "Failed")
    message = failed.result["message"]
    assert message.startswith("File name too long at ddd")
    assert "shorten it" in message
    assert len(message) < 600

    assert filled.agent("copy", lenient(filled, "r1")).code == 0
    assert filled.point("r1").unread is not None
    assert (filled.data("r1") / "good").read_text() == "content of good"
    filled.assert_settled()


def test_a_damaged_database_costs_itself_alone_where_that_is_asked_for(filled: Place) -> None:
    (filled.source / "app.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    (filled.source / "app.db-wal").write_bytes(b"\x37\x7f\x06\x82" + bytes(4000))
    assert filled.agent("copy", filled.copy_task("r1")).reason == "DatabaseBusy"

    assert filled.agent("copy", lenient(filled, "r1")).code == 0

    assert missing(filled, "r1") == ["app.db"]
    assert not (filled.data("r1") / "app.db").exists()
    assert (filled.data("r1") / "good").exists()


def test_hard_links_of_what_cannot_be_read_are_missing_all(filled: Place) -> None:
    os.link(filled.source / "bad", filled.source / "dir/linked")
    fails = injecting.of_names(filled.source, b"bad", b"linked")
    assert injecting.run("copy", lenient(filled, "r1"), fails)["code"] == 0
    assert missing(filled, "r1") == ["bad", "dir/linked", "sub/bad"]
    filled.copy("r2")
    assert_equal_to_rsync(filled.source, filled.data("r2"))


def test_a_point_says_what_it_lacks_in_its_file_and_in_a_list(filled: Place) -> None:
    copy_without(filled, "r1", b"bad")
    point = filled.point("r1")
    assert replace(point).to_json()["unreadable"] == {
        "count": 2,
        "examples": ["bad", "sub/bad"],
        "entries": 0,
        "bytes": 0,
    }
    (line,) = filled.agent("list", filled.task()).lines
    assert '"unreadable"' in line
