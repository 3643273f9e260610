"""A file system is probed in a folder of which nothing stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backstay.agent.fs import probe as probing
from backstay.agent.fs.probe import examine, probe


def test_a_probe_leaves_nothing_and_removes_what_was_left_an_hour_ago(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / f".backstay-probe-{name}").mkdir()
        (tmp_path / f".backstay-probe-{name}/file").touch()
    os.utime(tmp_path / ".backstay-probe-old", (1, 1))

    found = examine(tmp_path)

    assert found.hard_links
    assert [path.name for path in tmp_path.iterdir()] == [".backstay-probe-new"]


def test_a_probe_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(probing, "_has_holes", fail)
    with pytest.raises(OSError, match="Input/output error"):
        probe(tmp_path, "probe")
    assert list(tmp_path.iterdir()) == []
