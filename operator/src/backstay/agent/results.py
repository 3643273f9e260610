"""What a command answers, small enough for a container's termination message."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from backstay.domain.stores.copies.points import RollingPoint

Report: TypeAlias = Callable[[dict[str, Any]], None]
"""Called once, with the result, as soon as that is certain."""

LIMIT: Final = 4096
_EXAMPLES: Final = 5
_NAME_LIMIT: Final = 200
_FEW: Final = 200
"""Characters of a message that has room always, as each takes twelve bytes at most."""


def answer(reason: str, message: str, *, ok: bool = True, **more: Any) -> dict[str, Any]:
    """Given a reason, a sentence and what else there is to say, return the result."""
    point = more.get("point")
    if isinstance(point, RollingPoint):
        more["point"] = point_json(point)
    return {"ok": ok, "reason": reason, "message": message, **more}


def point_json(point: RollingPoint, *, record: bool = False) -> dict[str, Any]:
    """Given a point, return it as answers have it: with its version, without its record."""
    found = {"version": point.version, **point.to_json()}
    if not record:
        del found["record"]
    return found


def examples(names: Sequence[bytes]) -> dict[str, Any]:
    """Given names, return how many there are and the first ones."""
    shown = [os.fsdecode(name)[:_NAME_LIMIT] for name in sorted(names)[:_EXAMPLES]]
    return {"count": len(names), "examples": shown}


def text_of(result: dict[str, Any]) -> str:
    """Given a result, return its line, at most LIMIT bytes: lists are shortened visibly."""
    text = json.dumps(result, separators=(",", ":"))
    if len(text) <= LIMIT:
        return text
    result = {**result, "truncated": True}
    for key in (
        "safetyNotes",
        "notes",
        "differences",
        "rot",
        "changed",
        "damaged",
        "examples",
        "ignored",
        "locks",
        "points",
        "point",
        "message",
    ):
        if key == "message":
            result[key] = str(result[key])[:500]
        elif isinstance(result.get(key), list):
            while result[key] and len(json.dumps(result, separators=(",", ":"))) > LIMIT:
                result[key] = result[key][:-1]
        else:
            result.pop(key, None)
        text = json.dumps(result, separators=(",", ":"))
        if len(text) <= LIMIT:
            return text
    few = {key: result[key] for key in ("verb", "ok", "reason", "message", "truncated")}
    return json.dumps({**few, "message": few["message"][:_FEW]})
