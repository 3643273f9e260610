"""Files that somebody else has hold of, or that become something else."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from backstay.agent.destination.layout import flush
from backstay.agent.fs.abilities import EVERYTHING
from backstay.agent.fs.copy_file import copy_file, is_fresh, open_file
from backstay.agent.fs.inode import stat_of
from backstay.agent.fs.listing import Encoded, Listing
from backstay.agent.fs.paths import DIRECTORY, Descent
from backstay.agent.fs.throttle import Pace
from backstay.agent.tree.context import Plan, Spot, at_work
from backstay.agent.tree.place_entry import place
from backstay.agent.tree.scan import Scan
from backstay.domain.errors import UserError

HOLDER = """
import fcntl, os, signal, sys, time
fd = os.open(sys.argv[1], os.O_RDWR)
signal.signal(signal.SIGIO, lambda *_: (time.sleep(0.3), os._exit(0)))
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print(flush=True)
time.sleep(60)
"""


def test_a_file_under_a_lease_is_opened_when_its_holder_gives_it_up(tmp_path: Path) -> None:
    (tmp_path / "leased").write_bytes(b"content")
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "leased")]
    directory = os.open(tmp_path, DIRECTORY)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"\n"
            fd = open_file(b"leased", directory)
            assert os.read(fd, 10) == b"content"
            os.close(fd)
        finally:
            holder.kill()
            os.close(directory)


def test_a_symlink_that_became_a_file_after_the_walk_counts_as_vanished(tmp_path: Path) -> None:
    for name in ("source", "new"):
        (tmp_path / name).mkdir()
    link = tmp_path / "source/link"
    link.symlink_to("target")
    seen = stat_of(os.lstat(link))
    link.unlink()
    link.write_text("a file now")
    source, new = (os.open(tmp_path / name, DIRECTORY) for name in ("source", "new"))
    spot = Spot(
        b"", Descent(source), new, None, Listing([b"link"], [seen]), None, False, False, Pace(0)
    )
    try:
        assert place(spot, b"link", seen) is None
        assert os.listdir(new) == []
    finally:
        os.close(source)
        os.close(new)


@pytest.mark.parametrize("syncs", [True, False])
def test_where_a_whole_file_system_is_not_flushed_each_file_is(
    syncs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("source", "new"):
        (tmp_path / name).mkdir()
    (tmp_path / "source/a").write_bytes(b"content")
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    source, new = (os.open(tmp_path / name, DIRECTORY) for name in ("source", "new"))
    able = replace(EVERYTHING, syncs=syncs)

    copy_file(b"a", source, new, None, Pace(0), onto=False, able=able)

    assert len(flushed) == (not syncs)
    os.close(source)
    os.close(new)


@pytest.mark.parametrize(
    ("changed", "later", "fresh"),
    [
        (1_700_000_000_000_000_000, 1_900_000_000, True),  # whole seconds: FAT, small inodes
        (1_700_000_000_000_000_000, 2_100_000_000, False),
        (1_700_000_000_123_456_789, 10_000_000, True),  # within a tick
        (1_700_000_000_123_456_789, 30_000_000, False),
        (1_700_000_000_123_456_789, -10_000_000, True),
    ],
)
def test_a_file_is_fresh_while_another_change_may_get_the_same_time(
    changed: int, later: int, fresh: bool
) -> None:
    assert is_fresh(changed, changed + later) is fresh


@pytest.mark.parametrize("gone", [True, False])
def test_what_the_destination_cannot_have_is_not_taken_for_what_vanished(
    gone: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SMB says of a name with a colon that there is no such file."""
    for name in ("source", "new"):
        (tmp_path / name).mkdir()
    path = tmp_path / "source/a:b"
    path.write_bytes(b"content")
    seen = stat_of(path.stat())
    if gone:
        path.unlink()

    def refuse(*_: object, **__: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", b"a:b")

    monkeypatch.setattr("backstay.agent.tree.place_entry.copy_file", refuse)
    source, new = (os.open(tmp_path / name, DIRECTORY) for name in ("source", "new"))
    listing = Listing([b"a:b"], [seen])
    spot = Spot(b"", Descent(source), new, None, listing, None, False, False, Pace(0))
    try:
        if gone:
            assert place(spot, b"a:b", seen) is None
        else:
            with pytest.raises(UserError, match=r"cannot hold an entry .*: a:b$") as caught:
                place(spot, b"a:b", seen)
            assert caught.value.reason == "EntryUnfit"
    finally:
        os.close(source)
        os.close(new)


def test_a_directory_that_the_destination_cannot_have_is_an_error_and_no_endless_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", b"a:b")

    monkeypatch.setattr(os, "mkdir", refuse)
    source = os.open(tmp_path, DIRECTORY)
    scan = Scan(changed={b"a:b": Listing([], [])})
    plan = Plan(source, source, None, False, scan, Encoded({}), Pace(0))
    try:
        with (
            pytest.raises(OSError, match="Invalid argument"),
            at_work(plan, b"a:b", Descent(source)),
        ):
            pass
    finally:
        os.close(source)


@pytest.mark.parametrize(("number", "passes"), [(errno.EINVAL, True), (errno.EIO, False)])
def test_a_directory_that_cannot_be_flushed_is_no_error_and_a_broken_disk_is(
    number: int, passes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    if passes:
        flush(tmp_path)
    else:
        with pytest.raises(OSError, match="Input/output error"):
            flush(tmp_path)
