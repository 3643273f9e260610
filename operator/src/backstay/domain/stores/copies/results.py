"""From what the agent answers to what a Backup shows, and back to the points that are judged.

Invariant: a Backup mirrors, it decides nothing: labels and versions are taken over as reported.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from backstay.api.common import changed
from backstay.api.point import PointResult, PointStatus
from backstay.api.rolling_status import CopyStatus
from backstay.api.store import ROLLING
from backstay.domain import labels
from backstay.domain.errors import DataError
from backstay.domain.retention.points import Point
from backstay.domain.run.status import short
from backstay.domain.stores.copies.agent_result import AgentResult
from backstay.domain.stores.copies.points import RollingPoint, Series, judged, lacks_in_words

_NOTES = (
    ("vanished", "{} entries vanished meanwhile"),
    ("changedWhileRead", "{} files changed while they were read"),
    ("databases", "{} SQLite databases were copied consistently"),
    ("renewed", "{} files were copied again, as the copy of them was not what had been copied"),
    (
        "engines",
        "{} directories of other databases were copied file by file, which is of one moment only "
        "if they stood still",
    ),
)


def made_point(result: AgentResult, series: Series) -> PointStatus | None:
    """Given the result of a copy and the series that it is of, return the good point that a Backup
    shows; None if there is none.

    Raise DataError if what it published cannot be understood, or is of another series.
    """
    point = result.point if result.ok else None
    if point is None:
        return None
    if point.series != series:
        raise DataError(f"the copy's Job answers for {point.series.key}, not for {series.key}")
    if point.labels.get(labels.RESULT) != labels.Result.GOOD.value:
        raise DataError(f"the copy's Job answers with point {point.stamp}, which is not good")
    try:
        return _shown(result, point)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"point {point.stamp}: {where}: {first['msg']}") from error


def _shown(result: AgentResult, point: RollingPoint) -> PointStatus:
    shown = mirrored(point)
    reported = point.clock, _note(result.raw), lacks_in_words(point.lacks)
    return changed(
        shown,
        rolling=changed(
            shown.rolling or CopyStatus(uid=point.uid, version=point.version),
            version=result.version or point.version,
            new_bytes=result.number("stats", "copiedBytes"),
            seconds=result.number("seconds"),
            note=short("; ".join(filter(None, reported))) or None,
        ),
    )


def mirrored(point: RollingPoint, old: PointStatus | None = None) -> PointStatus:
    """Given a point as the agent reports it, and what a Backup showed of it so far, return what it
    shows now.
    """
    base = old or PointStatus(
        source=point.series.key,
        store=ROLLING,
        ref=point.stamp,
        attempt=1,
        result=PointResult.GOOD,
    )
    before = base.rolling
    return changed(
        base,
        result=PointResult.GOOD,
        ref=point.stamp,
        taken_at=point.moment,
        bytes=point.size,
        message=_lacks(point),
        rolling=CopyStatus(
            uid=point.uid,
            version=point.version,
            tree=point.tree,
            seq=point.seq,
            identity=point.source,
            clock=point.clock or None,
            labels=dict(point.labels),
            annotations=dict(point.annotations),
            files=point.entries,
            unreadable=point.unread.count if point.unread else 0,
            rotten=point.rotten,
            new_bytes=before.new_bytes if before else None,
            seconds=before.seconds if before else None,
            note=before.note if before else lacks_in_words(point.lacks) or None,
        ),
    )


def _lacks(point: RollingPoint) -> str | None:
    """What a copy that is good has not, or not as it was copied."""
    rotten = f"{point.rotten} files of it are known not to be what was copied"
    reported = [point.unread.in_words if point.unread else "", rotten if point.rotten else ""]
    return short("; ".join(filter(None, reported))) or None


def as_gone(shown: PointStatus) -> PointStatus:
    """Given a rolling copy as a Backup shows it, return it as one that is not there any more."""
    return changed(shown, rolling=changed(_copy(shown), gone=True, missing=False))


def as_missing(shown: PointStatus) -> PointStatus:
    """Given a rolling copy as a Backup shows it, return it as one that was not found."""
    return changed(shown, rolling=changed(_copy(shown), missing=True))


def judged_point(series: Series, shown: PointStatus) -> Point | None:
    """Given a point as a Backup shows it, return it as retention judges it, None if it is none."""
    copy, ref, taken = shown.rolling, shown.ref, shown.taken_at
    if copy is None or ref is None or taken is None:
        return None
    return judged(copy, series, name=ref, uid=copy.uid, version=copy.version, taken=taken)


def _copy(shown: PointStatus) -> CopyStatus:
    copy = shown.rolling
    assert copy is not None  # noqa: S101 - only rolling copies are shown so
    return copy


def _note(raw: Mapping[str, object]) -> str:
    """What was not as usual, in words, "" if all was."""
    notes = raw.get("notes")
    reported = []
    for key, words in _NOTES:
        found = notes.get(key) if isinstance(notes, Mapping) else None
        if isinstance(found, Mapping) and found.get("count"):
            reported.append(words.format(found["count"]))
    return "; ".join(reported)
