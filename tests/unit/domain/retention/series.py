"""A tiny model of a series: points, and what applying verdicts does to them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from backstay.domain import labels
from backstay.domain.retention.judge import judge
from backstay.domain.retention.points import Point, Rules, Verdict

RETAIN_BY_CALENDAR = {labels.RETAIN: "daily_weekly_monthly", labels.RESULT: "good"}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def point(name: str, taken: str | datetime, **extra: str) -> Point:
    """A good, ready point of the calendar rules; extra labels by their short names (an empty
    text removes one), marked_at and in_use by theirs.
    """
    marked_at, in_use = extra.pop("marked_at", None), extra.pop("in_use", None)
    carried = dict(RETAIN_BY_CALENDAR)
    for key, value in extra.items():
        carried[labels.PREFIX + key.replace("_", "-")] = value
    return Point(
        namespace="shop",
        name=name,
        uid=f"uid-{name}",
        resource_version="1",
        claim="data",
        taken=taken if isinstance(taken, datetime) else at(taken),
        ready=True,
        labels=carried,
        marked_at=marked_at,
        in_use=in_use,
    )


def without(point_: Point, *keys: str) -> Point:
    return replace(point_, labels={k: v for k, v in point_.labels.items() if k not in keys})


def apply(verdicts: Iterable[Verdict]) -> list[Point]:
    """What is there after every patch was written and every sweep has ended."""
    return [patched(v) for v in verdicts if not v.sweep]


def patched(verdict: Verdict) -> Point:
    old = verdict.point
    kept = {k: v for k, v in old.labels.items() if k not in verdict.remove_labels}
    marked_at = verdict.set_annotations.get(labels.MARKED_AT, old.marked_at)
    if labels.MARKED_AT in verdict.remove_annotations:
        marked_at = None
    released = verdict.set_annotations.get(labels.SWEEP_RELEASED, old.released)
    return replace(
        old, labels={**kept, **verdict.set_labels}, marked_at=marked_at, released=released
    )


VIENNA = ZoneInfo("Europe/Vienna")
NOW = at("2026-11-22T12:00:00+01:00")
RULES = Rules(zone=VIENNA, daily=2, failed=1, adhoc_days=30)
DAILY_ONE = replace(RULES, daily=1)


def judged(
    points: Sequence[Point], rules: Rules | None = RULES, now: str | None = None
) -> dict[str, Verdict]:
    verdicts = judge(points, rules, at(now) if now else NOW)
    return {v.point.name: v for v in verdicts}


def untouched(verdict: Verdict) -> bool:
    return not verdict.patches and not verdict.sweep
