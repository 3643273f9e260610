"""How much room a restore takes, and that a look at a broken disk ends."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backstay.agent.fs.inode import NO_HASH, stat_of
from backstay.agent.fs.listing import Listing
from backstay.agent.target.need import Disk, need_of
from backstay.domain.errors import UserError


@contextmanager
def directory(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def listing_of(path: Path) -> Listing:
    names = sorted(os.listdir(path))
    stats = [stat_of(os.lstat(path / name)) for name in names]
    return Listing([os.fsencode(n) for n in names], stats, [NO_HASH] * len(names))


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("source", "target"):
        (tmp_path / name).mkdir()
    return tmp_path / "source", tmp_path / "target"


def disk_of(places: tuple[Path, Path], **more: Any) -> Disk:
    source, target = places
    with directory(source) as old, directory(target) as new:
        need = need_of(old, new, {b"": listing_of(source)}, {}, onto=True, **more)
    (disk,) = need.disks.values()
    return disk


def test_what_replaces_something_takes_its_growth_and_once_the_largest(
    places: tuple[Path, Path],
) -> None:
    source, target = places
    for name in ("a", "b"):
        (source / name).write_bytes(bytes(1 << 20))
        (target / name).write_bytes(os.urandom(1 << 20))
    (source / "new").write_bytes(bytes(4096))
    os.sync()

    disk = disk_of(places)

    assert (disk.size, disk.largest, disk.inodes, disk.freed) == (4096, 1 << 20, 1, 0)


def test_what_is_not_in_the_point_is_freed_but_for_what_is_spared(
    places: tuple[Path, Path],
) -> None:
    for name in ("goes", "stays"):
        (places[1] / name / "deep").mkdir(parents=True)
        (places[1] / name / "deep/f").write_bytes(os.urandom(1 << 20))
    os.sync()

    disk = disk_of(places, spared=[b"stays/deep"])

    assert 1 << 20 <= disk.freed < 2 << 20


def test_a_directory_that_the_disk_does_not_give_ends_no_look(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("broken", "sound"):
        (places[1] / name).mkdir()
        (places[1] / name / "f").write_bytes(os.urandom(1 << 20))
    os.sync()
    real = os.open

    def failing(path: Any, *arguments: Any, **options: Any) -> int:
        if path == b"broken":
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", failing)

    assert 1 << 20 <= disk_of(places).freed < 2 << 20


def test_the_destination_is_found_wherever_it_lies_in_what_goes(
    places: tuple[Path, Path],
) -> None:
    source, target = places
    top = target / "x/y/backup"
    top.mkdir(parents=True)
    one = top.stat()
    with directory(source) as old, directory(target) as new:
        need = need_of(
            old,
            new,
            {b"": listing_of(source)},
            {},
            onto=True,
            forbidden=(one.st_dev, one.st_ino),
        )
    assert need.destination == [b"x/y/backup"]


def test_the_destination_where_the_point_has_a_directory_is_refused(
    places: tuple[Path, Path],
) -> None:
    source, target = places
    for place in places:
        (place / "d").mkdir()
    one = (target / "d").stat()
    listings = {b"": listing_of(source), b"d": listing_of(source / "d")}
    with (
        directory(source) as old,
        directory(target) as new,
        pytest.raises(UserError, match="the copies themselves lie at d"),
    ):
        need_of(old, new, listings, {}, onto=True, forbidden=(one.st_dev, one.st_ino))
