"""Bare restic, and what any command costs: what repositories are held against."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.cluster.kit import layout, tools

PASSWORD = "of-a-bench"  # noqa: S105 - of repositories that are gone after it
_PAUSE = 0.02  # seconds between two looks at the memory


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command took, with all processes that it started and waited for."""

    cpu: float
    """Seconds, of user and system."""
    wall: float
    memory: int
    """Bytes: the most that its processes had resident at one of 50 moments a second."""


def cost_of(
    argv: Sequence[str], environment: Mapping[str, str], cwd: Path | None = None
) -> tuple[Cost, str]:
    """Given a command, run it; return what it took and what it printed. Raise RuntimeError with its
    words if it fails.
    """
    began = time.monotonic()
    process = subprocess.Popen(
        argv,
        env={**os.environ, **environment},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    peak = _Peak(process.pid)
    peak.start()
    said: list[str] = []
    assert process.stdout is not None
    assert process.stderr is not None
    errors = process.stderr
    listener = threading.Thread(target=lambda: said.append(errors.read()))
    listener.start()
    out = process.stdout.read()
    listener.join()
    # Not process.wait(): only this one says what the processes took.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - began
    peak.stop()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {process.returncode}: {out[-500:]} {said}")
    return Cost(usage.ru_utime + usage.ru_stime, wall, peak.bytes), out


class _Peak(threading.Thread):
    """Looks at what a process and those below it have resident."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._over = threading.Event()
        self.bytes = 0

    def run(self) -> None:
        while not self._over.wait(_PAUSE):
            self.bytes = max(self.bytes, _resident(self._pid))

    def stop(self) -> None:
        self._over.set()
        self.join()


def _resident(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        tasks = Path(f"/proc/{pid}/task").iterdir()
        below = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except (OSError, ProcessLookupError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(map(_resident, below))


def program() -> Path:
    """Return the restic that the image has, built if need be."""
    return tools.ensure(layout.cache_from(os.environ), ["restic"])["restic"]


@dataclass(frozen=True, slots=True)
class Bare:
    """restic by hand on a repository in a directory."""

    folder: Path

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    def __call__(self, *words: str, cwd: Path | None = None) -> tuple[Cost, str]:
        environment = {
            "RESTIC_REPOSITORY": str(self.repository),
            "RESTIC_PASSWORD": PASSWORD,
            "RESTIC_CACHE_DIR": str(self.folder / "cache"),
        }
        return cost_of([str(program()), *words], environment, cwd)

    def backup(self, directory: Path) -> tuple[Cost, dict[str, Any]]:
        """Given a directory, back it up as VolSync does, and return restic's summary of it."""
        cost, out = self("backup", "--json", "--host=bench", ".", cwd=directory)
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return cost, found
