"""Repositories: the agent's commands against bare restic on the same data, in one run.

A tree of 20,000 files (1 GB, two fifths of it random) and a dump of 500 MB; each side has a
repository of its own in a directory of this machine, where restic is at its cheapest. Both sides
take turns, and the median of each counts: a quiet moment halves what a round takes, and only one
side may meet it. Bare restic is asked as VolSync asks it; beside that stands what VolSync's script
runs in all. Memory is what all processes of a side had resident together, at most.

BACKSTAY_BENCH_SCALE makes the data smaller, and the goals without meaning.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.figure import Figure
from tests.bench.repository_tree import DUMP_NAME, generate
from tests.bench.restic import PASSWORD, Bare, Cost, cost_of, program
from tests.faults.repository.harness import Depot

SCALE = float(os.environ.get("BACKSTAY_BENCH_SCALE", "1"))
FIRST, UNCHANGED, RESTORES = 3, 5, 3
"""How many rounds of each."""
MORE_MEMORY = 60 * 1024**2
VOLSYNC_KEEPS = "--keep-last=1"


@dataclass(frozen=True, slots=True)
class Ours:
    """The agent, as a Job runs it, on a repository in a directory."""

    folder: Path
    """Of this repository alone."""
    source: Path
    sha256: str
    depot: Depot
    runs: itertools.count[int] = field(default_factory=itertools.count)

    @classmethod
    def made(cls, folder: Path, source: Path, sha256: str) -> Ours:
        folder.mkdir()
        depot = Depot(folder, program().parent, local=str(folder / "repository"))
        depot.give(RESTIC_PASSWORD=PASSWORD)
        found = cls(folder, source, sha256, depot)
        _, answer = found("repository-open", initialise=True)
        return replace(found, depot=depot.known_as(answer["id"]))

    def __call__(self, verb: str, **task: Any) -> tuple[Cost, dict[str, Any]]:
        environment = {
            **self.depot.environment(),
            "BACKSTAY_TASK": json.dumps(self.depot.task(**task)),
            # An installed agent has its bytecode beside it: so has this one, from its first run on.
            "PYTHONDONTWRITEBYTECODE": "",
        }
        cost, out = cost_of([sys.executable, "-m", "backstay.agent", verb], environment)
        answer: dict[str, Any] = json.loads(out.splitlines()[-1])
        return cost, answer

    def backup(self, *, dumps: bool) -> tuple[Cost, str]:
        """Make a point; say whether the dump is on record, so that it is read back. Return the id
        of its data.
        """
        found = {"name": "shop", "path": DUMP_NAME, "sha256": self.sha256}
        cost, answer = self(
            "repository-backup",
            run=f"run-{next(self.runs)}",
            attempt=1,
            host="shop/uploads",
            tags=["policy=nightly", "claim=uploads"],
            source={"root": str(self.source)},
            record={"version": 1, "namespace": "shop", "backup": "nightly"},
            dumps=[found] if dumps else [],
        )
        if answer["reason"] != "Stored":
            raise RuntimeError(f"not stored: {answer}")
        return cost, str(answer["data"])

    def restore(self, snapshot: str, target: Path) -> Cost:
        """Restore what was stored, verified."""
        target.mkdir()
        place = {"root": str(target)}
        cost, _ = self("repository-restore", snapshot=snapshot, restore="bench", target=place)
        return cost


def measure() -> list[Figure]:
    """Return the ratios; takes some minutes and 10 GB of the temporary folder."""
    with tempfile.TemporaryDirectory(prefix="backstay-bench-") as name:
        folder = Path(name)
        source = folder / "source"
        source.mkdir()
        generate(source, SCALE)
        with (source / DUMP_NAME).open("rb") as dump:
            sha256 = hashlib.file_digest(dump, "sha256").hexdigest()
        sides = Sides(folder, source, sha256)
        figures = [*sides.first(), *sides.unchanged(), *sides.restored()]
        return [*figures, *sides.remembered]


@dataclass(slots=True)
class Sides:
    """Both sides: the last repository that each has made, and what each has taken."""

    folder: Path
    source: Path
    sha256: str
    remembered: list[Figure] = field(default_factory=list)
    _bare: Bare | None = None
    _ours: Ours | None = None
    _data: str = ""

    @property
    def bare(self) -> Bare:
        assert self._bare is not None
        return self._bare

    @property
    def ours(self) -> Ours:
        assert self._ours is not None
        return self._ours

    def first(self) -> list[Figure]:
        """A copy into an empty repository, the dump read back."""

        def theirs(number: int) -> Cost:
            self._remove(f"bare-{number - 1}")
            self._bare = Bare(self.folder / f"bare-{number}")
            self._bare.folder.mkdir()
            self._bare("init")
            return self._bare.backup(self.source)[0]

        def ours(number: int, *, dumps: bool) -> Cost:
            last = "dumps" if dumps else "ours"
            self._remove(f"{last}-{number - 1}")
            self._ours = Ours.made(self.folder / f"{last}-{number}", self.source, self.sha256)
            cost, self._data = self._ours.backup(dumps=dumps)
            return cost

        bare, with_dump, plain = _in_turns(
            "first copy",
            theirs,
            lambda number: ours(number, dumps=True),
            lambda number: ours(number, dumps=False),
            rounds=FIRST,
        )
        self._remember("first copy", with_dump, bare)
        return [
            _ratio("first copy", with_dump, bare, 1.05, "the dump is read back from it"),
            _ratio("first copy, no dump on record", plain, bare, None, "nothing is read back"),
        ]

    def unchanged(self) -> list[Figure]:
        """Nothing has changed since: a dump, which a run would have made, is no part of it."""
        bare, ours, dumps, volsync = _in_turns(
            "unchanged",
            lambda _: self.bare.backup(self.source)[0],
            lambda _: self._again(dumps=False),
            lambda _: self._again(dumps=True),
            lambda _: self._as_volsync(),
            rounds=UNCHANGED,
        )
        self._remember("unchanged", ours, bare)
        method = f"CPU {ours.cpu:.2f} s against {bare.cpu:.2f} s; wall {ours.wall:.2f} s"
        method += f" against {bare.wall:.2f} s; median of {UNCHANGED}"
        most = 1.3 * bare.cpu + 0.5
        return [
            Figure(
                "unchanged, processor",
                ours.cpu,
                "s",
                f"<= {most:.2f}",
                ours.cpu <= most,
                f"1.3 x and 0.5 s; {method}",
            ),
            _ratio("unchanged", ours, bare, None, "a point is a list, the data, its record"),
            _ratio("unchanged, the dump on record", dumps, bare, None, "500 MB are read back"),
            _ratio("beside: VolSync's commands", volsync, bare, None, "cat config, backup, forget"),
        ]

    def _again(self, *, dumps: bool) -> Cost:
        cost, self._data = self.ours.backup(dumps=dumps)
        return cost

    def _as_volsync(self) -> Cost:
        costs = [
            self.bare("cat", "config")[0],
            self.bare.backup(self.source)[0],
            self.bare("forget", "--host=bench", VOLSYNC_KEEPS)[0],
        ]
        return Cost(
            sum(cost.cpu for cost in costs),
            sum(cost.wall for cost in costs),
            max(cost.memory for cost in costs),
        )

    def restored(self) -> list[Figure]:
        """The whole of it into an empty directory; ours is compared with what was stored."""

        def fresh() -> Path:
            shutil.rmtree(self.folder / "target", ignore_errors=True)
            return self.folder / "target"

        def theirs(*words: str) -> Callable[[int], Cost]:
            target = f"--target={self.folder / 'target'}"
            return lambda _: (fresh(), self.bare("restore", "latest", target, *words)[0])[1]

        bare, verified, ours = _in_turns(
            "restore",
            theirs(),
            theirs("--verify"),
            lambda _: self.ours.restore(self._data, fresh()),
            rounds=RESTORES,
        )
        self._remember("restore", ours, bare)
        return [
            _ratio("restore, verified", ours, bare, 1.3, "bare restic does not verify"),
            _ratio("restore, both verified", ours, verified, None, "bare restic with --verify"),
        ]

    def _remember(self, what: str, ours: Cost, bare: Cost) -> None:
        more = (ours.memory - bare.memory) / 1024**2
        self.remembered.append(
            Figure(
                f"{what}: memory beyond restic",
                more,
                "MiB",
                f"<= {MORE_MEMORY // 1024**2}",
                ours.memory - bare.memory <= MORE_MEMORY,
                f"{ours.memory / 1024**2:.0f} MiB against {bare.memory / 1024**2:.0f} MiB",
            )
        )

    def _remove(self, name: str) -> None:
        shutil.rmtree(self.folder / name, ignore_errors=True)


def _in_turns(what: str, *runs: Callable[[int], Cost], rounds: int) -> list[Cost]:
    """The median of each, and the most memory."""
    taken = []
    for number in range(rounds):
        taken.append([run(number) for run in runs])
        line = ", ".join(f"{c.cpu:.2f}/{c.wall:.2f} s {c.memory >> 20} MiB" for c in taken[-1])
        sys.stderr.write(f"repository: {what}: {line}\n")
    return [
        Cost(
            median(cost.cpu for cost in costs),
            median(cost.wall for cost in costs),
            max(cost.memory for cost in costs),
        )
        for costs in zip(*taken, strict=True)
    ]


def _ratio(name: str, ours: Cost, bare: Cost, goal: float | None, method: str) -> Figure:
    ratio = ours.cpu / bare.cpu
    text = f"{method}; CPU {ours.cpu:.2f} s against {bare.cpu:.2f} s"
    text += f", wall {ours.wall:.2f} s against {bare.wall:.2f} s"
    wanted = "-" if goal is None else f"<= {goal:g}"
    return Figure(f"{name} / restic", ratio, "x CPU", wanted, goal is None or ratio <= goal, text)
