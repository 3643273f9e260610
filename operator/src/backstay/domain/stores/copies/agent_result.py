"""What the agent said at its end: one JSON object, read with the caution that a log deserves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from backstay.domain.stores.copies.points import RollingPoint

LIMIT: Final = 2**63


@dataclass(frozen=True, slots=True)
class AgentResult:
    """One result. `raw` has the verb's own fields."""

    ok: bool
    reason: str
    message: str
    raw: Mapping[str, Any]

    @property
    def truncated(self) -> bool:
        """Whether the termination message had no room for all of it: the log has."""
        return bool(self.raw.get("truncated"))

    @property
    def point(self) -> RollingPoint | None:
        """The point that was made. Raise DataError if it cannot be understood."""
        found = self.raw.get("point")
        return None if found is None else RollingPoint.from_json(found)

    @property
    def version(self) -> str:
        """The version of the point that was made: an answer leaves out its record, which counts."""
        found = self.raw.get("point")
        return str(found.get("version", "")) if isinstance(found, dict) else ""

    @property
    def outcomes(self) -> Mapping[str, Outcome]:
        """By stamp: the outcome of each point of a relabel or prune."""
        found = self.raw.get("points")
        return {
            str(o.get("stamp")): Outcome(str(o.get("outcome")), str(o.get("version", "")))
            for o in (found if isinstance(found, list) else ())
            if isinstance(o, dict)
        }

    def examples(self, *keys: str) -> list[str]:
        """Given keys of findings, return the names that they give as examples."""
        found = [self.raw.get(key) for key in keys]
        names = [f.get("examples") for f in found if isinstance(f, Mapping)]
        return [str(name) for some in names if isinstance(some, list) for name in some]

    def number(self, *path: str) -> int | None:
        """Given keys, return the number there in whole, None if none of 64 bits is there."""
        here: Any = self.raw
        for key in path:
            here = here.get(key) if isinstance(here, Mapping) else None
        is_number = isinstance(here, int | float) and not isinstance(here, bool)
        # Python's JSON has Infinity and NaN besides, and numbers of any length.
        return int(here) if is_number and abs(here) < LIMIT else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """`done`, `conflict`, `gone` or `kept`, and the version after it."""

    word: str
    version: str


def parse_result(text: str) -> AgentResult | None:
    """Given a termination message or the last line of a log, return the result in it, None if it
    is something else: a container that was killed says nothing of its own.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(raw, dict) or not isinstance(raw.get("ok"), bool):
        return None
    return AgentResult(raw["ok"], str(raw.get("reason", "")), str(raw.get("message", "")), raw)


def parse_points(lines: Sequence[str]) -> list[RollingPoint]:
    """Given the log lines of a list before its result, return the points.

    Raise DataError if one cannot be understood: half a list is none.
    """
    return [RollingPoint.parse(line) for line in lines if line.strip()]
