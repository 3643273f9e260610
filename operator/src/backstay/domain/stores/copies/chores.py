"""The Jobs that work on rolling copies between runs: which is next for a series, and when.

Invariants: one at a time for each series; labels before removals, both before what has time; what
was never listed is listed before anything is changed there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from backstay.api.common import changed
from backstay.api.rolling_status import CopiesStatus
from backstay.domain import labels
from backstay.domain.clock_skew import CLOCK_SLACK
from backstay.domain.retention.points import Verdict
from backstay.domain.schedule.early import is_ahead
from backstay.domain.stores.copies.agent_result import AgentResult
from backstay.domain.stores.copies.agent_tasks import POINTS_MAX, Change
from backstay.domain.stores.copies.points import RollingPoint
from backstay.domain.stores.copies.seen import Seen, is_missing
from backstay.domain.stores.copies.series import Kept, Shown

RHYTHM: Final = timedelta(hours=24)
"""Between two looks at a destination, and between two parts of a scrub."""
_FINDINGS: Final = frozenset({"Rotten", "Changed"})
NO_MARKER: Final = "DestinationNotInitialised"
"""The agent's word for a destination without a marker."""


class Verb(StrEnum):
    """What a Job of upkeep does; the agent's words."""

    RELABEL = "relabel"
    PRUNE = "prune"
    LIST = "list"
    SCRUB = "scrub"


@dataclass(frozen=True, slots=True)
class Chore:
    """The next Job of one series."""

    kept: Kept
    verb: Verb
    changes: Sequence[Change] = ()
    occasion: str = ""
    """What distinguishes one list or scrub from the next."""
    imports: bool = False
    """Points without a record get one."""
    reasons: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a finished Job of upkeep said. `result` is None if nobody can read it any more."""

    result: AgentResult | None
    message: str
    points: Sequence[RollingPoint] | None = None
    """Of a list: all of its points; None if they cannot be had."""
    unmarked: bool = False
    """A claim without a marker was asked: nothing of ours is there, and nothing was changed."""

    @property
    def ok(self) -> bool:
        """Whether it did what it was made for. A scrub that found something did."""
        return self.unmarked or (
            self.result is not None and (self.result.ok or self.result.reason in _FINDINGS)
        )


def next_chore(seen: Seen, kept: Kept, verdicts: Sequence[Verdict]) -> Chore | None:
    """Given what was read, one series and the verdicts on its points, return what is next: labels
    before removals, both before what has time.
    """
    if kept.series.key in seen.copying:
        return None
    look = _past(seen.looks.get(kept.copy.series), kept, seen.now)
    if seen.policy is not None and (first := _list_first(seen, kept, look)) is not None:
        return first
    pairs = [
        (shown, verdict)
        for shown, verdict in zip(kept.shown, verdicts, strict=True)
        # A run that is not over still writes its Backup itself.
        if shown.run.status.phase.final and not is_missing(shown)
    ]
    relabel = [(_change(shown, v), v) for shown, v in pairs if _changes(shown, v)]
    if relabel:
        return _with(kept, Verb.RELABEL, relabel)
    sweep = [(Change(v.point.name, v.point.resource_version), v) for _, v in pairs if v.sweep]
    if sweep and seen.clock is None:
        return _with(kept, Verb.PRUNE, sweep)
    if seen.policy is None or not kept.shown:
        return None
    today = seen.now.date().isoformat()
    if _is_due(look.listed_at, seen.now):
        return _list(kept, today)
    if kept.rolling.scrub.days and _is_due(look.scrubbed_at, seen.now):
        return Chore(kept, Verb.SCRUB, occasion=today)
    return None


def _past(look: CopiesStatus | None, kept: Kept, now: datetime) -> CopiesStatus:
    """What was seen of a series. A look in the future is none: our clock was ahead then, and there
    would be no other for as long as it was.
    """
    look = look or CopiesStatus(source=kept.copy.series)
    ahead = now + CLOCK_SLACK
    if look.listed_at is not None and look.listed_at > ahead:
        look = changed(look, listed_at=None)
    if look.scrubbed_at is not None and look.scrubbed_at > ahead:
        look = changed(look, scrubbed_at=None)
    return look


def _list_first(seen: Seen, kept: Kept, look: CopiesStatus) -> Chore | None:
    """The list that is needed before anything is changed, if one is."""
    if _is_unknown(seen, look):
        # The first one is the same Job whether or not the rebuild of a new policy was faster.
        occasion = "first" if look.listed_at is None else f"rebuild {seen.rebuilt_at}"
        return _list(kept, occasion, imports=True)
    if look.stale:
        return _list(kept, f"stale since {look.listed_at}")
    if look.read_only and _is_due(look.listed_at, seen.now):
        # What is wanted of the points is refused there, and must not come before this for ever.
        return _list(kept, seen.now.date().isoformat())
    return None


def _list(kept: Kept, occasion: str, *, imports: bool = False) -> Chore:
    """A list belongs to the points that were known when it was asked for: one that was published
    later is missing in it, and is not gone.
    """
    known = " ".join(sorted(shown.point.name for shown in kept.shown))
    return Chore(kept, Verb.LIST, occasion=f"{occasion}: {known}", imports=imports)


def _is_unknown(seen: Seen, look: CopiesStatus) -> bool:
    """Whether the points of a series were never listed, or are to be recorded again."""
    if look.listed_at is None or is_ahead(look.listed_at, seen.now):
        return True
    # One of the future was asked for while our clock was ahead, and would never be over.
    return seen.rebuilt_at is not None and look.listed_at < seen.rebuilt_at <= seen.now


def _is_due(at: datetime | None, now: datetime) -> bool:
    """Also where a clock that was ahead has written when it was: else nothing for so long."""
    return at is None or is_ahead(at, now) or now - at >= RHYTHM


def _with(kept: Kept, verb: Verb, found: Sequence[tuple[Change, Verdict]]) -> Chore:
    chosen = found[:POINTS_MAX]
    reasons = [f"{c.stamp}: {'; '.join(v.reasons)}" for c, v in chosen]
    return Chore(kept, verb, [c for c, _ in chosen], reasons=reasons)


def _changes(shown: Shown, verdict: Verdict) -> bool:
    return verdict.patches or verdict.point.in_use != shown.point.in_use


def _change(shown: Shown, verdict: Verdict) -> Change:
    notes: dict[str, str | None] = {**verdict.set_annotations}
    notes |= dict.fromkeys(verdict.remove_annotations)
    if verdict.point.in_use != shown.point.in_use:
        notes[labels.IN_USE] = verdict.point.in_use
    return Change(
        stamp=verdict.point.name,
        version=verdict.point.resource_version,
        labels={**verdict.set_labels, **dict.fromkeys(verdict.remove_labels)},
        annotations=notes,
    )
