"""The verdict on each copy of one series: `retention.judge` on those that are alike.

The rules are for the real copies of the source as it is now. Set apart from them, and counted in
nothing, are copies

- whose time of making lies in the future: nobody knows when they were made, so they stay;
- of a source that was there before (`stores.copies.incarnations`): they go on dates set by hand;
- that a restore in place made of what was there before: they go on their own date, or by hand.

Invariants: nothing set apart makes one of the others go, or is the newest good copy while there is
another; nothing goes within GRACE of having become good, whatever date it has.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from backstay.api.rolling_status import CopyStatus
from backstay.domain import labels
from backstay.domain.labels import Result
from backstay.domain.retention.brakes import freeze
from backstay.domain.retention.judge import judge
from backstay.domain.retention.points import Point, Rules, Verdict
from backstay.domain.retention.reasons import Reason
from backstay.domain.retention.series import GRACE
from backstay.domain.stores.copies.dates import SLACK
from backstay.domain.stores.copies.incarnations import (
    ANY,
    Replaced,
    accepting,
    accepts_any,
    current,
    is_accepted,
)
from backstay.domain.stores.copies.points import Series


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy as its Backup shows it."""

    point: Point
    status: CopyStatus
    good_since: datetime
    """By the operator's clock."""
    named: bool = False
    """A request that has not begun yet names its Backup."""

    @property
    def order(self) -> tuple[int, datetime, str]:
        """Its place in the order of making."""
        return self.status.seq, self.point.taken, self.point.name

    @property
    def is_real(self) -> bool:
        """Whether it is a backup, and not what a restore in place kept."""
        return labels.RESTORE_REQUEST not in self.status.annotations


@dataclass(frozen=True, slots=True)
class Groups:
    """The copies of a series, set apart."""

    counted: Sequence[Copy]
    future: Sequence[Copy] = ()
    before: Sequence[Copy] = ()
    aside: Sequence[Copy] = ()

    @property
    def names_without_rules(self) -> frozenset[str]:
        """The points that stay unless a person sets a date."""
        return frozenset(c.point.name for c in (*self.future, *self.before))


def grouped(
    copies: Sequence[Copy], series: Series, accepted: Collection[str], now: datetime
) -> Groups:
    """Given the copies of a series, the source ids that a person accepted, and now, return
    them set apart.
    """
    future = [c for c in copies if c.point.taken > now + SLACK]
    known = [c for c in copies if c.point.taken <= now + SLACK]
    real = [c for c in known if c.is_real]
    continues = [
        c.status.identity for c in real if is_accepted(series, c.status.identity, accepted)
    ]
    inside = current([(c.order, c.status.identity) for c in real], continues)
    if accepts_any(series, accepted):
        inside = [True] * len(real)
    return Groups(
        counted=[c for c, is_in in zip(real, inside, strict=True) if is_in],
        future=future,
        before=[c for c, is_in in zip(real, inside, strict=True) if not is_in],
        aside=[c for c in known if not c.is_real],
    )


def replaced(
    groups: Groups, series: Series, source: str, accepted: Collection[str]
) -> Replaced | None:
    """Given the copies of a series, what names its source for people and the words that are
    accepted, return what is to be reported, None if the source is the one that it was.
    """
    if not groups.before:
        return None
    # Some copy that counts says what its source is, or no other would be of another.
    newest = max((c for c in groups.counted if c.status.identity), key=lambda c: c.order)
    word = accepting(series, newest.status.identity)
    if word in accepted:  # another one came and went since
        word = ANY
    return Replaced(series, source, len(groups.before), word)


def judge_copies(groups: Groups, rules: Rules | None, now: datetime) -> dict[str, Verdict]:
    """Given the copies of a series, the rules (None: the policy is gone) and now, return the
    verdict on each by the name of its point.
    """
    found = judge([c.point for c in groups.counted], rules, now)
    found += [Verdict(c.point, reasons=(_to_come(c),)) for c in groups.future]
    newest = _stands_for(groups, now)
    found += _judge_beside(groups.before, newest, None, now, Reason.SOURCE_REPLACED)
    found += _judge_beside(groups.aside, newest, rules, now)
    copies = (*groups.counted, *groups.future, *groups.before, *groups.aside)
    by_name = {c.point.name: c for c in copies}
    # Judged apart, held back together: what the agent refuses is never asked of it.
    kept = {v.point.name: _not_yet(v, by_name[v.point.name], now) for v in found}
    for made in (groups.counted, [c for c in copies if c.is_real] or copies):
        if last := max(made, key=lambda c: c.order, default=None):
            # The agent never removes it; where dates say that another is newer, both stay.
            kept[last.point.name] = freeze(kept[last.point.name], Reason.MADE_LAST)
            whole = _newest_whole(made)
            if whole is not None and whole is not last:
                kept[whole.point.name] = freeze(kept[whole.point.name], Reason.NEWEST_WHOLE)
    return kept


def _newest_whole(copies: Sequence[Copy]) -> Copy | None:
    """The copy made last that lacks nothing of its source."""
    good = (c for c in copies if c.point.result is Result.GOOD and not c.status.unreadable)
    return max(good, key=lambda c: c.order, default=None)


def _judge_beside(
    copies: Sequence[Copy],
    newest: Point | None,
    rules: Rules | None,
    now: datetime,
    frozen: str = Reason.POLICY_GONE,
) -> list[Verdict]:
    """Judge copies that are set apart: the newest good one is another, where there is one."""
    beside = [newest] if newest is not None else []
    points = [*(c.point for c in copies), *beside]
    return judge(points, rules, now, frozen=frozen)[: len(copies)]


def _stands_for(groups: Groups, now: datetime) -> Point | None:
    """The newest good copy, as those that are set apart are to see it: after all of them."""
    good = [c.point for c in groups.counted if c.point.result is Result.GOOD]
    if not good:
        return None
    newest = max(good, key=lambda p: p.order)
    return replace(newest, taken=now + SLACK + timedelta(seconds=1), labels={labels.RESULT: "good"})


def _to_come(copy: Copy) -> str:
    return Reason.STILL_TO_COME.format(time=_short(copy.point.taken))


def _not_yet(verdict: Verdict, copy: Copy, now: datetime) -> Verdict:
    """The verdict without a sweep that would come too early."""
    if not verdict.sweep:
        return verdict
    if now - max(copy.good_since, copy.point.taken) <= GRACE:
        return freeze(verdict, Reason.YOUNG_COPY.format(hours=_hours(GRACE)))
    return freeze(verdict, Reason.BACKUP_NAMED) if copy.named else verdict


def clock_trouble(copies: Sequence[Copy], now: datetime) -> str:
    """Given the copies of a series and now, return in words which clock is off, "" if none is known
    to be: that of the last copy was, or a copy says that it was made in the future.

    What an earlier copy says of its node's clock is over when a later one has found it right.
    """
    ahead = [c for c in copies if c.point.taken > now + SLACK]
    if ahead:
        first = min(ahead, key=lambda c: c.order)
        return f"copy {first.point.name}: {_to_come(first)}"
    newest = max(copies, key=lambda c: c.order, default=None)
    return (newest.status.clock or "") if newest is not None else ""


def _hours(span: timedelta) -> int:
    return int(span.total_seconds() // 3600)


def _short(at: datetime) -> str:
    return at.replace(microsecond=0).isoformat()
