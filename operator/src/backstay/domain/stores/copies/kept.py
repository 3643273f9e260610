"""Which points of a series of rolling copies stay, whatever a caller decided."""

from collections.abc import Sequence

from backstay.domain import labels
from backstay.domain.stores.copies.points import RollingPoint, point_of


def newest_good(series: Sequence[RollingPoint]) -> str | None:
    """Given all points of a series, return the uid of the newest good one, None without one. What
    a restore kept of what was there before is none, unless there is nothing else.
    """
    good = [p for p in series if p.labels.get(labels.RESULT) == labels.Result.GOOD]
    real = [p for p in good if p.is_real] or good
    return max(real, key=lambda p: p.order).uid if real else None


def newest_whole(series: Sequence[RollingPoint]) -> str | None:
    """Given all points of a series, return the uid of the newest good one that lacks nothing of its
    source, None without one.
    """
    return newest_good([p for p in series if p.unread is None])


def why_kept(point: RollingPoint, newest: str | None, whole: str | None = None) -> str | None:
    """Given a point, the newest good one of its series and the newest of those that lack nothing,
    return why it must not be removed whatever a caller decided; None where it may go.
    """
    seen = point_of(point)
    if seen.is_held:
        return "held"
    if seen.in_use is not None:
        return "in use"
    if seen.uid == newest:
        return "newest good"
    return "newest that lacks nothing" if seen.uid == whole else None
