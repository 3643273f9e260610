"""The descent to many directories below one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backstay.agent.fs.paths import DIRECTORY, Descent


def test_a_descent_that_failed_is_tried_again_and_one_that_was_closed_starts_over(
    tmp_path: Path,
) -> None:
    (tmp_path / "a").mkdir()
    root = os.open(tmp_path, DIRECTORY)
    descent = Descent(root)
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            descent(b"a/b")
    (tmp_path / "a/b").mkdir()

    for _ in range(2):
        assert os.path.samestat(os.fstat(descent(b"a/b")), os.stat(tmp_path / "a/b"))
        assert os.path.samestat(os.fstat(descent(b"a/b")), os.stat(tmp_path / "a/b"))
        assert descent(b"") == root
        descent(b"a/b")
        descent.close()
        assert descent(b"") == root
    descent.close()
    os.close(root)
