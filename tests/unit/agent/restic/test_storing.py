"""What restic is asked when it stores, what it could not read, and how far it is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from backstay.agent.restic.backup import Marks, Unread, Wanted
from backstay.agent.restic.progress import EVERY, Progress
from backstay.agent.restic.source import OpenSource, excludes, open_source
from backstay.agent.restic.version import check_version, version_of
from backstay.domain.errors import DataError
from backstay.domain.stores.repository.failures import RepositoryError


@pytest.fixture
def source(tmp_path: Path) -> Iterator[OpenSource]:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a").write_text("a")
    with open_source(str(tmp_path), "data", require_mount=False) as found:
        yield found


def test_a_snapshot_is_marked_in_utc_and_no_tag_is_split() -> None:
    moment = datetime(2026, 11, 22, 3, 2, 3, 999, tzinfo=timezone(timedelta(hours=2)))
    assert Marks("shop/uploads", ("a=1", "b"), moment).words() == [
        "--host=shop/uploads", "--tag=a=1", "--tag=b", "--time=2026-11-22 01:02:03",
    ]  # fmt: skip
    assert Marks("shop/uploads", (), None).words() == ["--host=shop/uploads"]


def test_without_a_parent_everything_is_read(source: OpenSource) -> None:
    assert Wanted().words(source)[0] == "--force"
    assert Wanted(parent="1" * 64).words(source)[0] == f"--parent={'1' * 64}"
    assert Wanted().words(source)[-1] == "."


def test_patterns_are_below_the_source_and_what_its_path_has_is_no_pattern() -> None:
    assert excludes("/data/*[a]", ["/cache", "*.tmp", "!/cache/kept", "!x"]) == [
        r"--exclude=/data/\*\[a]/lost+found",
        r"--exclude=/data/\*\[a]/cache",
        "--exclude=*.tmp",
        r"--exclude=!/data/\*\[a]/cache/kept",
        "--exclude=!x",
    ]


def test_what_was_removed_while_it_was_read_is_not_missing(source: OpenSource) -> None:
    unread = Unread(source)
    unread(f"{source.path}/gone", "lstat /data/gone: no such file or directory")
    # Still there, so it is not that which was the matter.
    unread(f"{source.path}/a", "open /data/a: no such file or directory")
    unread(f"{source.path}/b", "open /data/b: permission denied")
    unread(f"{source.path}/b", "read /data/b: permission denied")

    assert unread.vanished == {"gone"}
    assert unread.items == {"a", "b"}
    assert unread.examples == ["a", "b"]
    assert unread.words == "open /data/a: no such file or directory"


def test_of_what_cannot_be_read_a_few_names_are_kept_and_all_are_counted(
    source: OpenSource,
) -> None:
    unread = Unread(source)
    for number in range(1000):
        unread(f"{source.path}/{number}" + "x" * 500, "input/output error")
    assert len(unread.items) == 1000
    assert len(unread.examples) == 5
    assert max(map(len, unread.examples)) == 200


def test_a_directory_that_nobody_can_exchange_is_what_restic_starts_in(
    source: OpenSource, tmp_path: Path
) -> None:
    (tmp_path / "data").rename(tmp_path / "moved")
    (tmp_path / "data").mkdir()
    assert os.listdir(source.directory) == ["a"]


def test_progress_is_said_every_quarter_of_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    progress = Progress(lambda: now[0])
    for second in range(62):
        now[0] = float(second)
        progress(second * 10, 1000)
    said = [json.loads(line)["progress"] for line in capsys.readouterr().out.splitlines()]
    assert said == [
        {"bytes": seconds * 10, "of": 1000, "seconds": seconds}
        for seconds in (int(EVERY * n) for n in (1, 2, 3, 4))
    ]


@pytest.mark.parametrize(
    ("output", "version"),
    [
        (b'{"message_type":"version","version":"0.19.1","go_version":"go1.26"}', (0, 19, 1)),
        (b"restic 0.14.0 compiled with go1.19.8 on linux/amd64\n", (0, 14, 0)),
        (b"restic 0.18.0-dev (compiled manually) compiled with go1.24", (0, 18, 0)),
    ],
)
def test_the_version_is_read_in_json_and_in_words(
    output: bytes, version: tuple[int, int, int]
) -> None:
    assert version_of(output) == version


def test_an_older_one_than_the_floor_is_refused_and_what_says_no_version_too() -> None:
    check_version((0, 18, 0))
    check_version((1, 0, 0))
    with pytest.raises(RepositoryError, match=r"0\.17\.3"):
        check_version((0, 17, 3))
    with pytest.raises(DataError, match="no version"):
        version_of(b"command not found")
