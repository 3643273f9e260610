"""What a restore sets after rsync goes through no link, and is compared."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from backstay.agent.fs.inode import stat_of
from backstay.agent.fs.listing import Known, Listing
from backstay.agent.fs.paths import DIRECTORY
from backstay.agent.target.arrival import Arrived, arrive
from backstay.agent.target.wanted import Wanted

CONTENT = b"content"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "target"
    path.mkdir()
    return path


def known(path: Path, **changes: Any) -> Known:
    """What a manifest says of a file that is there, but for some changes."""
    one = stat_of(path.lstat())._replace(**changes)
    extra = hashlib.sha256(CONTENT).digest() if one.is_regular else b""
    return Known(one, extra, {})


def arrived(target: Path, wanted: Wanted) -> Arrived:
    fd = os.open(target, DIRECTORY)
    try:
        return arrive(fd, fd, wanted, 1)
    finally:
        os.close(fd)


def test_modes_and_times_come_from_the_manifest(target: Path) -> None:
    (target / "a").write_bytes(CONTENT)
    wanted = known(target / "a", mode=stat.S_IFREG | 0o604, mtime=1_234_567_890_123_456_789)

    result = arrived(target, Wanted({}, {b"a": wanted}))

    assert (result.failures, result.notes, result.words) == ([], {}, "")
    now = (target / "a").stat()
    assert (now.st_mode & 0o7777, now.st_mtime_ns) == (0o604, 1_234_567_890_123_456_789)


def test_a_link_that_is_put_in_the_way_leads_nowhere(target: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(CONTENT)
    outside.chmod(0o600)
    (target / "a").symlink_to(outside)
    before = outside.stat()

    result = arrived(target, Wanted({}, {b"a": known(outside, mode=stat.S_IFREG | 0o4777)}))

    assert result.failures == [b"a: another kind of thing"]
    assert outside.stat() == before


def test_a_directory_that_is_swapped_for_a_link_leads_nowhere(target: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a").write_bytes(CONTENT)
    (outside / "a").chmod(0o600)
    (target / "d").symlink_to(outside)
    one = known(outside / "a", mode=stat.S_IFREG | 0o777)
    listing = Listing([b"a"], [one.stat], [one.extra])

    result = arrived(target, Wanted({b"d": listing}))

    assert len(result.failures) == 1
    assert (outside / "a").stat().st_mode & 0o7777 == 0o600


def test_pipes_are_made_and_links_of_them_are_one(target: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o640)
    one = known(tmp_path / "pipe", links=2)
    (target / "q").write_bytes(b"what was in its place")

    result = arrived(target, Wanted({b"": Listing([b"p", b"q"], [one.stat] * 2, [b"", b""])}))

    assert (result.failures, result.notes) == ([], {})
    assert os.path.samestat((target / "p").lstat(), (target / "q").lstat())
    assert stat.S_IMODE((target / "p").lstat().st_mode) == 0o640


def test_what_is_not_there_or_has_other_content_is_a_failure(target: Path) -> None:
    (target / "a").write_bytes(CONTENT)
    one = known(target / "a")
    (target / "a").write_bytes(b"CONTENT")
    listing = Listing([b"a", b"b"], [one.stat] * 2, [one.extra] * 2)

    result = arrived(target, Wanted({b"": listing}))

    assert sorted(result.failures) == [b"a: another content", b"b: missing"]


def test_other_content_gets_no_rights_of_its_owner(target: Path) -> None:
    """Whoever may write to the target could have put it there since rsync made the file."""
    (target / "a").write_bytes(CONTENT)
    one = known(target / "a", mode=stat.S_IFREG | 0o4755)
    (target / "a").write_bytes(b"CONTENT")

    result = arrived(target, Wanted({}, {b"a": one}))

    assert result.failures == [b"a: another content"]
    assert (target / "a").stat().st_mode & stat.S_ISUID == 0
