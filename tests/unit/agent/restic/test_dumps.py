"""The files of dumps: found before restic reads, and never taken for others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from backstay.agent.restic.dumps import Stamp, look_for_dumps
from backstay.agent.tasks import ExpectedDump
from backstay.domain.stores.repository.failures import RepositoryError
from backstay.domain.stores.repository.reasons import Reason

DUMP = ExpectedDump("shop", "dumps/shop.dump", "ab" * 32)
NOBODY = 65534
MOMENT = datetime(2026, 11, 30, 0, 2, 3, 123456, UTC)
LISTED = "2026-11-30T01:02:03.123456789+01:00"
"""The same moment as restic lists it, in the zone of its host."""
STAMP = Stamp(7, 4, MOMENT, MOMENT)


@pytest.fixture
def top(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "dumps").mkdir()
    (tmp_path / "dumps/shop.dump").write_bytes(b"rows")
    fd = os.open(tmp_path, os.O_PATH)
    yield fd
    os.close(fd)


def test_a_dump_that_is_there_is_known_by_inode_size_and_times(top: int, tmp_path: Path) -> None:
    path = tmp_path / "dumps/shop.dump"
    stamp = look_for_dumps(top, [DUMP])[DUMP.path]

    assert stamp == Stamp.of(path.stat())
    os.utime(path, ns=(1, 1))
    assert stamp != Stamp.of(path.stat())


@pytest.mark.parametrize(
    ("others", "fits"),
    [
        ({}, True),
        ({"inode": 1}, False),
        ({"size": 5}, False),
        ({"mtime": "2026-11-30T00:00:00Z"}, False),
        ({"ctime": "2026-11-30T00:00:00+01:00"}, False),
    ],
)
def test_only_the_file_that_restic_recorded_fits(others: dict[str, Any], fits: bool) -> None:
    assert STAMP.fits({"inode": 7, "size": 4, "mtime": LISTED, "ctime": LISTED, **others}) is fits


def test_an_older_restic_that_lists_no_inode_is_believed_by_the_rest() -> None:
    assert STAMP.fits({"size": 4, "mtime": LISTED, "ctime": LISTED})


@pytest.mark.parametrize("stands", ["missing", "symlink", "directory", "pipe"])
def test_what_is_no_file_is_no_dump(top: int, tmp_path: Path, stands: str) -> None:
    path = tmp_path / "dumps/shop.dump"
    path.unlink()
    match stands:
        case "symlink":
            path.symlink_to("/etc/passwd")
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)

    with pytest.raises(RepositoryError) as refused:
        look_for_dumps(top, [DUMP])

    assert refused.value.reason is Reason.DUMP_CHANGED


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize("hidden", ["dumps", "dumps/shop.dump"])
def test_a_dump_that_the_mover_may_not_read_is_named(top: int, tmp_path: Path, hidden: str) -> None:
    (tmp_path / hidden).chmod(0)
    os.seteuid(NOBODY)
    try:
        with pytest.raises(RepositoryError, match="cannot be read") as refused:
            look_for_dumps(top, [DUMP])
    finally:
        os.seteuid(0)

    assert refused.value.reason is Reason.SOURCE_UNREADABLE
