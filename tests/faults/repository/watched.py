"""A restic that is watched on its way, and restics that hold a repository's lock."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.faults.repository.harness import Depot

WITHIN = 120.0
SCRIPT = """#!/bin/sh
# Locks of others are waited for two minutes: here it is a second.
for word; do shift; [ "$word" = 2m ] && word=1s; set -- "$@" "$word"; done
printf '%s\\n' "$*" >> {log}
{more}
exec {restic} "$@"
"""


def watched(depot: Depot, more: str = "") -> Depot:
    """Given a depot and lines of a shell script, return it with a restic that notes how it is
    called, runs these lines and becomes the real one.
    """
    folder = depot.folder / "watched"
    folder.mkdir(exist_ok=True)
    script = folder / "restic"
    real = depot.restic / "restic"
    script.write_text(SCRIPT.format(log=folder / "calls", more=more, restic=real))
    script.chmod(0o755)
    return replace(depot, path=(str(folder), *depot.path))


def calls(depot: Depot) -> list[str]:
    """Return how a watched restic was called so far."""
    log = depot.folder / "watched" / "calls"
    return log.read_text().splitlines() if log.exists() else []


def dies_at(call: int) -> str:
    """Return what has the agent die, as by a lost node, instead of making its call of that number,
    from 1.
    """
    count = '$(wc -l < "$(dirname "$0")/calls")'
    return f"[ {count} -eq {call} ] && kill -KILL $PPID && exit 1"


def dies_in(words: str) -> str:
    """Return what has restic and the agent die together in the call with these words, as soon as
    there is a lock.
    """
    return (
        f'case "$*" in *"{words}"*)\n'
        '  {restic} "$@" & pid=$!\n'
        # It may be over before anybody sees its lock.
        '  while kill -0 $pid 2>&- && [ -z "$({restic} --no-lock list locks)" ]; do :; done\n'
        "  kill -KILL $pid $PPID; exit 1;; esac"
    )


def locks(depot: Depot) -> list[str]:
    """Return the ids of all locks of the repository."""
    return depot.run("list", "locks", "--no-lock").split()


@contextmanager
def holding(depot: Depot, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Given a restic command that takes long, run it while the block does, from when its lock is
    there.
    """
    before = set(locks(depot))
    process = subprocess.Popen(
        [str(depot.restic / "restic"), *words],
        env=depot.by_hand(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + WITHIN
        while not set(locks(depot)) - before:
            assert time.monotonic() < end, "no lock was taken"
            assert process.poll() is None, "it has ended"
            time.sleep(0.05)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()


def leave_lock(depot: Depot, *, exclusive: bool) -> dict[str, Any]:
    """Leave the lock of a restic that was killed; return what the lock says, with its id."""
    # Both read what never comes: a password, or data.
    words = ("key", "passwd") if exclusive else ("backup", "--stdin", "--stdin-filename", "x")
    before = set(locks(depot))
    with holding(depot, *words) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    (left,) = set(locks(depot)) - before
    found: dict[str, Any] = json.loads(depot.run("cat", "lock", left, "--no-lock"))
    assert found.get("exclusive", False) is exclusive
    return {**found, "id": left}


def packs(depot: Depot) -> list[Path]:
    """Return the packs of a local repository, the largest first."""
    found = [p for p in Path(depot.local, depot.suffix, "data").rglob("*") if p.is_file()]
    return sorted(found, key=lambda p: p.stat().st_size, reverse=True)
