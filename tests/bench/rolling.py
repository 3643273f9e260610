"""Rolling copies against a bare walk, rsync and rm, on ext4, XFS and btrfs.

Every goal is a ratio, or an amount of space, measured in one run: times of what is compared are
taken in turns, and the best of each counts. BACKSTAY_BENCH_SCALE makes the tree smaller (goals of
space then mean nothing), BACKSTAY_BENCH_DISKS chooses file systems ("xfs btrfs").
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

from hack.cluster.kit.packages import ROLLING, ensure, extend_path, require_root
from tests.bench.figure import Figure
from tests.bench.rolling_runs import (
    COMPILED,
    EVERYTHING,
    Agent,
    Rsync,
    disk,
    forget_caches,
    older_rsync,
    remount,
    remove,
    settle,
    timed,
    used,
)
from tests.bench.rolling_tree import change, generate

SCALE = float(os.environ.get("BACKSTAY_BENCH_SCALE", "1"))
DISKS = os.environ.get("BACKSTAY_BENCH_DISKS", "ext4 xfs btrfs").split()
DAYS = {"xfs": 80, "btrfs": 35}
"""The most megabytes that a changed day may take, by file system."""
FULL, WALKS, TREES, PRUNES = 2, 9, 5, 3
"""How many rounds: first full copies; unchanged runs, which are short and so need more of them;
new trees; prunes, each of two trees, after which there is one more.
"""
SPACES = 5
"""How many unchanged runs are measured for the space that they take."""
SIZE = "24G"
MEGABYTE = 1_000_000


def measure() -> list[Figure]:
    """Return the figures; takes seven minutes a file system, and 20 GB of the temporary folder."""
    require_root("the bench of rolling copies")
    extend_path()
    ensure(ROLLING)
    with tempfile.TemporaryDirectory(prefix="backstay-bench-") as name:
        folder = Path(name)
        source = folder / "source"
        source.mkdir()
        generate(source, SCALE)
        older = older_rsync(folder)
        figures = []
        for kind in DISKS:
            with disk(folder, kind, SIZE) as mount:
                figures += _on(source, mount, older)
    return figures


def _say(what: str) -> None:
    sys.stderr.write(f"rolling: {what}\n")


def _on(source: Path, mount: Path, older: Rsync) -> list[Figure]:
    """The figures of one file system, which the mount is named after."""
    kind = mount.name
    agent = Agent(source, mount)
    agent("init")
    figures = [_full(agent, older), *_unchanged(agent)]
    figures += _link_trees(agent, older)
    figures.append(_changed_day(agent))
    return [replace(figure, name=f"{kind}: {figure.name}") for figure in figures]


def _in_turns(*runs: Callable[[int], float], rounds: int) -> list[float]:
    """The best of each: what else runs on the machine only ever makes it slower."""
    taken = [[run(number) for run in runs] for number in range(rounds)]
    for times in taken:
        _say(" ".join(f"{seconds:.2f}" for seconds in times))
    return [min(times) for times in zip(*taken, strict=True)]


def _ratio(name: str, ours: float, theirs: float, goal: float, method: str) -> Figure:
    _say(f"{name}: {ours:.2f} s against {theirs:.2f} s")
    ratio = ours / theirs
    text = f"{method}; {ours:.2f} s against {theirs:.2f} s"
    return Figure(name, ratio, "x", f"<= {goal:g}", ratio <= goal, text)


def _beside(name: str, seconds: float, method: str) -> Figure:
    return Figure(name, seconds, "s", "none", True, method)


def _full(agent: Agent, older: Rsync) -> Figure:
    mount = agent.destination
    target = mount / "rsync-full"

    def ours(number: int) -> float:
        if number:
            remove(next(mount.glob("bench/bench/*")))
        return agent.copy("full")[1]

    def theirs(number: int) -> float:
        if number:
            remove(target)
        return timed([older.path, *EVERYTHING, f"{agent.source}/", f"{target}/"], mount)

    best = _in_turns(theirs, ours, rounds=FULL)
    method = f"first full copy, both flushed; {older.name} {' '.join(EVERYTHING)}"
    return _ratio("first full copy / rsync", best[1], best[0], 0.85, method)


def _walk(agent: Agent) -> float:
    program = Path(__file__).with_name("bare_walk.py")
    # -P: the folder beside it has a module called queue.
    return timed([sys.executable, "-P", program, agent.source])


def _unchanged(agent: Agent) -> list[Figure]:
    best = _in_turns(
        lambda _: _walk(agent), lambda number: agent.copy(f"same-{number}")[1], rounds=WALKS
    )
    method = "whole commands, warm cache; the walk is tests/bench/bare_walk.py"
    return [_ratio("unchanged / bare walk", best[1], best[0], 1.5, method), *_space(agent)]


def _space(agent: Agent) -> list[Figure]:
    """What an unchanged run takes besides its point.

    A file system grows in lumps: XFS makes inodes 64 at a time (32 KiB), btrfs splits a leaf of
    its own (16 KiB, stored twice). Few points meet one, so the median of single runs has none; what
    a run takes each time is in all of them. The sum with the lumps stands beside it.
    """
    states = [_state(agent)]
    for number in range(SPACES):
        agent.copy(f"space-{number}")
        states.append(_state(agent))
    pairs = list(pairwise(states))
    grown = [after.used - before.used - (after.points - before.points) for before, after in pairs]
    beyond = median(grown)
    # Its file and its symlink.
    more = max(after.entries - before.entries - 2 for before, after in pairs)
    method = f"statvfs, mounted again, median of {SPACES} single runs; with lumps {sum(grown)} B"
    return [
        Figure("unchanged: bytes beyond points", beyond, "B", "<= 0", beyond <= 0, method),
        Figure(
            "unchanged: inodes beyond points",
            more,
            "",
            "<= 0",
            more <= 0,
            f"entries counted, most of {SPACES} runs; a point is its file and its symlink",
        ),
    ]


class _State(NamedTuple):
    """What a destination takes: bytes of the file system, bytes of points, entries."""

    used: int
    points: int
    entries: int


def _state(agent: Agent) -> _State:
    remount(agent.destination)
    points = next(agent.destination.glob("bench/bench/*/points"))
    # Their files, and the directories that list them; btrfs keeps such small ones in its leaves.
    leaves = agent.destination.name == "btrfs"
    own = [] if leaves else [*points.iterdir(), points, points.parent]
    counted = subprocess.run(
        ["find", agent.destination, "-printf", "."], check=True, capture_output=True
    )
    blocks = sum(path.stat().st_blocks * 512 for path in own)
    return _State(used(agent.destination), blocks, len(counted.stdout))


def _link_trees(agent: Agent, older: Rsync) -> list[Figure]:
    """New trees of links: one file is touched before each, so that none is an alias."""
    mount, source = agent.destination, agent.source
    installed = Rsync.at("rsync")
    last = mount / "rsync-full"
    points = []

    def ours(number: int) -> float:
        (source / "touched").write_text(str(number))
        result, seconds = agent.copy(f"tree-{number}")
        points.append(result["point"])
        return seconds

    def linked(rsync: str, options: tuple[str, ...], name: str) -> Callable[[int], float]:
        def run(number: int) -> float:
            words = [
                rsync,
                *options,
                f"--link-dest={last}",
                f"{source}/",
                f"{mount}/{name}{number}/",
            ]
            return timed(words, mount)

        return run

    plain = ("-a", "--delete")
    times = _in_turns(
        linked(older.path, (*EVERYTHING, *older.quick), "same"),
        ours,
        linked(older.path, (*plain, *older.quick), "plain"),
        rounds=TREES,
    )
    article = linked(installed.path, plain, "article")(0)
    method = f"new tree, one file changed, flushed; {older.name}"
    figures = [
        _ratio("link tree / rsync", times[1], times[0], 0.65, f"{method} {' '.join(EVERYTHING)}"),
        _beside("beside: link tree", times[1], method),
        _beside("beside: rsync -a of that version", times[2], f"{older.name} -a --delete"),
        _beside(
            "beside: the article's command",
            article,
            f"{installed.name.split(' --')[0]} -a --delete --link-dest",
        ),
    ]
    return [*figures, *_prune(agent, points)]


def _forget_trees(mount: Path) -> None:
    """A tree that is pruned was made days ago: nothing of it is in memory; the programs are. Nor
    is its file system still busy writing what another one's removal changed.
    """
    settle(mount)
    forget_caches()
    modules = ", ".join(
        f"backstay.agent.{name}" for name in ("__main__", "points", "spare", "trash")
    )
    for program in (["rm", "--version"], [sys.executable, "-c", f"import {modules}"]):
        subprocess.run(program, check=True, stdout=subprocess.DEVNULL, env=COMPILED)


def _prune(agent: Agent, points: list[dict[str, str]]) -> list[Figure]:
    """Our trees against rsync's equal ones. The first one that is pruned becomes the next one, as
    where each day one is made and one goes; the second is removed.
    """
    mount = agent.destination
    answers = []

    def ours(_: int) -> float:
        _forget_trees(mount)
        answered, reclaimed = agent.prune(points.pop(0))
        answers.append(answered)
        return reclaimed + timed(["sync", "-f", mount])

    def theirs(number: int) -> float:
        _forget_trees(mount)
        return timed(["rm", "-rf", mount / f"same{number}"], mount)

    def onto(number: int) -> float:
        _walk(agent)  # so that the source is in memory, as it is for other new trees
        (agent.source / "touched").write_text(f"again {number}")
        result, seconds = agent.copy(f"again-{number}")
        points.append(result["point"])
        return seconds

    best = _in_turns(theirs, ours, ours, onto, rounds=PRUNES)
    answered = 1000 * min(answers)
    for left in mount.glob("same*"):
        remove(left)
    kept = "its directories are kept for the next tree, but not on btrfs"
    return [
        Figure("prune answers", answered, "ms", "<= 50", answered <= 50, "in the agent; best"),
        _ratio("reclaim / rm -rf", best[1], best[0], 0.6, f"a tree, cold, flushed; {kept}"),
        _beside("beside: rm -rf", best[0], "as above"),
        _beside("beside: reclaim of a second one", best[2], "removed, directories and all"),
        _beside("beside: link tree on a pruned one", best[3], "one file changed, flushed"),
    ]


def _changed_day(agent: Agent) -> Figure:
    kind = agent.destination.name
    grown = _grow(agent, "day")
    goal = DAYS.get(kind)
    if goal is None:
        return Figure("beside: changed day", grown, "MB", "none", True, "it shares no blocks")
    method = "used bytes after one day's change and copy, mounted again, manifest included"
    return Figure("changed day", grown, "MB", f"<= {goal}", grown <= goal, method)


def _grow(agent: Agent, run: str) -> float:
    remount(agent.destination)
    before = used(agent.destination)
    change(agent.source, SCALE, seed=11 + DISKS.index(agent.destination.name))
    _, seconds = agent.copy(run)
    remount(agent.destination)
    grown = (used(agent.destination) - before) / MEGABYTE
    _say(f"changed day on {agent.destination.name}: {grown:.1f} MB in {seconds:.1f} s")
    options = [*EVERYTHING, "-n", "-i", "--delete", "--filter=-x trusted.SGI_ACL_*"]
    found = subprocess.run(
        ["rsync", *options, f"{agent.source}/", f"{agent.data(run)}/"],
        check=True,
        capture_output=True,
    )
    if found.stdout:
        raise RuntimeError(f"the copy differs from its source: {found.stdout[:500]!r}")
    return grown
