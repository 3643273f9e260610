"""`make bench`: measure against the goals, print a table, write build/bench.json.

Each measurement is a module of this folder with `measure() -> list[Figure]`. Goals are checked
here and nowhere in the tests: these machines are shared and noisy.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from tests.bench import (
    dump,
    idle,
    queue,
    repository,
    repository_dumps,
    retention,
    rolling,
    schedule,
)
from tests.bench.figure import Figure

OUTPUT = Path(__file__).resolve().parents[2] / "build/bench.json"
BENCHES: dict[str, Callable[[], list[Figure]]] = {
    "dump": dump.measure,
    "idle": idle.measure,
    "queue": queue.measure,
    "repository": repository.measure,
    "repository-dumps": repository_dumps.measure,
    "retention": retention.measure,
    "rolling": rolling.measure,
    "schedule": schedule.measure,
}


def main(names: Sequence[str]) -> int:
    """Given names of measurements (none: all), run them; return 1 if a goal does not hold."""
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        sys.stderr.write(f"no bench {', '.join(unknown)}; there are: {', '.join(BENCHES)}\n")
        return 2
    figures = [figure for name in names or BENCHES for figure in BENCHES[name]()]
    for figure in figures:
        verdict = "holds" if figure.holds else "MISSED"
        sys.stdout.write(
            f"{figure.name:32} {figure.value:10.2f} {figure.unit:8} "
            f"goal {figure.goal:8} {verdict}\n"
        )
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
    return 0 if all(figure.holds for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
