"""One `Cli` per test, on a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.cli.running import Cli


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(tmp_path, capsys)
