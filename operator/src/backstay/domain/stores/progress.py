"""How far a Job that makes a point has come, as its agent says every 15 s in its log."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from backstay.api.point import PointStatus
from backstay.api.progress import Progress
from backstay.domain.run.status import LARGEST, format_size

EVERY: Final = timedelta(seconds=15)
"""Between two looks at the log."""


def is_due(entry: PointStatus, now: datetime) -> bool:
    """Given a point that is made, and now, return whether to look how far it has come."""
    since = entry.progress.at if entry.progress is not None else entry.requested_at
    # Neither must a clock that was ahead keep it from being looked at.
    return since is None or not timedelta(0) <= now - since < EVERY


def progress_in(lines: Iterable[str], before: Progress | None, now: datetime) -> Progress | None:
    """Given the last lines of a Job's log, what was known before, and now, return how far it has
    come; None if they do not say.
    """
    said = next((found for line in reversed([*lines]) if (found := _said(line))), None)
    if said is None:
        return None
    moved, of, seconds = said
    earlier = before if before is not None and _goes_on(before, moved, seconds) else None
    took = seconds - (earlier.seconds if earlier else 0)
    more = moved - (earlier.bytes if earlier else 0)
    rate = more // took if took > 0 else before.rate if before is not None else None
    return Progress(bytes=moved, of=of or None, seconds=seconds, rate=rate, at=now)


def in_words(progress: Progress) -> str:
    """Given how far something has come, return that for people."""
    words = f"{format_size(progress.bytes)} stored"
    if progress.of is not None:
        part = min(100, progress.bytes * 100 // max(1, progress.of))
        words = f"{format_size(progress.bytes)} of {format_size(progress.of)} stored ({part} %)"
    return words + (f", {format_size(progress.rate)} a second" if progress.rate else "")


def _goes_on(before: Progress, moved: int, seconds: int) -> bool:
    """Whether it is the same Pod that speaks: another one begins at 0 again."""
    return before.seconds <= seconds and before.bytes <= moved


def _said(line: str) -> tuple[int, int, int] | None:
    """The numbers of a line, None if it has none: whoever may write the log may write anything."""
    try:
        raw: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    found = raw.get("progress") if isinstance(raw, dict) else None
    if not isinstance(found, dict):
        return None
    moved, of, seconds = (_number(found.get(key)) for key in ("bytes", "of", "seconds"))
    return None if moved is None or seconds is None else (moved, of or 0, seconds)


def _number(value: object) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= LARGEST else None
