"""One measured figure and the goal that it is held against."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured, how, and whether the goal (in words) holds."""

    name: str
    value: float
    unit: str
    goal: str
    holds: bool
    method: str
