"""What the other tool's own retention keeps of its snapshots, and ours would not.

backup-ns counts labels: of each claim it keeps the newest N snapshots that carry a tier's label,
whatever the label says, so also a second one of a period that a person labelled, or one that a
person named after another period. Ours counts periods, and each has one keeper. What the tool
keeps and ours would release is held at adoption: a label by hand is a person's word.

Invariant: of what the tool keeps under the policy's counts, no tier label that adoption finds is
released by retention without a hold. Judged among the tool's snapshots alone: beside a point that
we made ourselves the tool's is one too many, and no person asked for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from backstay.domain import labels
from backstay.domain.adoption.other_labels import as_adopted, is_complete
from backstay.domain.calendar import TIER_LABELS, Tier
from backstay.domain.objects import Obj
from backstay.domain.retention.judge import judge
from backstay.domain.retention.points import Point, Rules
from backstay.domain.stores.snapshots.carriers import point_of
from backstay.domain.stores.snapshots.moments import moment_of

_THEIRS: Final = (Tier.DAILY, Tier.WEEKLY, Tier.MONTHLY)


def to_hold(snapshots: Iterable[Obj], prefix: str, rules: Rules, now: datetime) -> frozenset[str]:
    """Given snapshots, the other tool's prefix (with its slash), the policy's rules and now
    (aware), return the uids of those that get a hold when they are adopted.
    """
    if rules.keeps_all:
        return frozenset()
    series: dict[tuple[str, str], list[Point]] = {}
    for snapshot in snapshots:
        if is_complete(snapshot, prefix) and moment_of(snapshot) is not None:
            point = point_of(as_adopted(snapshot, prefix, rules.zone), rules.zone)
            series.setdefault((point.namespace, point.claim), []).append(point)
    return frozenset(uid for points in series.values() for uid in _of_series(points, rules, now))


def _of_series(points: Sequence[Point], rules: Rules, now: datetime) -> Iterable[str]:
    kept = {tier: _kept(points, tier, rules) for tier in _THEIRS}
    for verdict in judge(points, rules, now):
        point = verdict.point
        # A date is followed by both, and an unready point is never marked.
        if not point.counts or labels.DELETE_AFTER in point.labels:
            continue
        released = (t for t in _THEIRS if TIER_LABELS[t] in verdict.remove_labels)
        if any(point.uid in kept[tier] for tier in released):
            yield point.uid


def _kept(points: Sequence[Point], tier: Tier, rules: Rules) -> frozenset[str]:
    """The uids of those whose label of the tier the tool leaves: it counts labels, not periods."""
    label = TIER_LABELS[tier]
    carriers = sorted((p for p in points if label in p.labels), key=lambda p: p.order, reverse=True)
    return frozenset(p.uid for p in carriers[: rules.count(tier)])
