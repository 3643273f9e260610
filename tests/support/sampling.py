"""Which part of a long sweep or search runs: a slice chosen by the commit, or in a soak the whole.

Each commit tries other points, so a dozen commits try them all. BACKSTAY_SLICE repeats what a
commit chose (a number, as the header of pytest's report names it), or takes the whole (`all`).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from hypothesis import seed, settings

T = TypeVar("T")
Decorator: TypeAlias = Callable[[Any], Any]

ROOT = Path(__file__).resolve().parents[2]
VARIABLE = "BACKSTAY_SLICE"
WHOLE = "all"
PART = 4
"""A slice is about one of so many parts."""


@cache
def chosen_slice() -> int | None:
    """Return the slice's number, None for the whole. Raise ValueError if the variable is no number.

    Without Git it is always the same slice.
    """
    given = os.environ.get(VARIABLE)
    if given:
        return None if given == WHOLE else int(given)
    command = ["git", "rev-parse", "--short=8", "HEAD"]
    try:
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return 0
    return int(found.stdout, 16)


def sampled(points: Sequence[T], parts: int = PART) -> list[T]:
    """Return the first, the last and every `parts`-th of the points from the slice's on; all of
    them in a soak.
    """
    number = chosen_slice()
    if number is None:
        return list(points)
    last = len(points) - 1
    return [p for at, p in enumerate(points) if at in (0, last) or at % parts == number % parts]


def searched(examples: int) -> Decorator:
    """Return a decorator for a property that takes long: so many examples in a soak, each time
    others; else a part of them, those of the slice.
    """

    def decorate(test: Any) -> Any:
        number = chosen_slice()
        if number is None:
            return settings(max_examples=examples)(test)
        return seed(number)(settings(max_examples=max(examples // PART, 10))(test))

    return decorate
