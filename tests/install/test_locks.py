"""The locks say what pyproject.toml asks for, by hash, and nothing about where it comes from."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.install.rendering import ROOT

FOLDER = ROOT / "requirements"
LOCKS = ("build.txt", "dev.txt", "runtime.txt")
PIN = re.compile(r"^([a-z0-9-]+)==(\S+)(?: ; .+)? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")
VIA = re.compile(r"^    #(?: via)?(?:   | )?(?:[a-z0-9-]+(?: \(pyproject\.toml\))?)?$")


def pins(lock: str) -> dict[str, str]:
    lines = (FOLDER / lock).read_text().splitlines()
    return {found[1]: found[2] for line in lines if (found := PIN.match(line))}


def test_the_locks_are_those_of_pyproject(tmp_path: Path) -> None:
    # given the current locks, whose pins uv keeps
    command = [sys.executable, str(FOLDER / "lock.py"), "--folder", str(tmp_path)]
    # when they are recreated
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # then nothing has changed
    assert done.returncode == 0, done.stderr
    for name in LOCKS:
        assert (tmp_path / name).read_text() == (FOLDER / name).read_text(), "run `make lock`"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_pins_hashes_and_reasons_and_nothing_else(lock: str) -> None:
    lines = (FOLDER / lock).read_text().splitlines()
    strange = [n for n in lines if not (PIN.match(n) or HASH.match(n) or VIA.match(n))]
    assert not strange
    assert len(pins(lock)) >= 5


def test_what_ships_is_what_is_tested() -> None:
    tested = pins("dev.txt")
    for lock in ("runtime.txt", "build.txt"):
        assert pins(lock).items() <= tested.items()
