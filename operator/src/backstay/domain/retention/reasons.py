"""Why a point is kept, marked or swept, in the words that people see.

What stands in braces is filled in with `format`. `kubectl backstay retention` shows the words, and
people search for them: a reason is added, and seldom reworded.
"""

from enum import StrEnum

from backstay.domain import labels
from backstay.domain.retention.points import Point


class Reason(StrEnum):
    """One thing that is said of a point. A verdict has one or several."""

    # What it is.
    PENDING = "pending: not touched"
    DELETING = "being deleted"
    NO_RESULT = "no result: kept, never counted"

    # A series without rules.
    POLICY_GONE = "frozen: its policy is gone"
    CLAIM_REPLACED = "frozen: its claim was replaced by another one of that name"
    SOURCE_REPLACED = "kept: of a source that was there before"
    MARK_WITHOUT_RULES = "marked by retention, which is not followed any more"

    # What a person says.
    HELD = "held"
    HELD_ODDLY = "held: hold={value!r} is read as true"
    SAVED = "held: its delete-after was removed by hand"

    # What guards it.
    NEWEST_GOOD = "newest good"
    NO_REAL_ONE_NEWER = "no real backup is newer"
    NO_GOOD_ONE_NEWER = "not ready, and no good point is newer"
    STANDS_IN = "newer than the newest good point, and ready: stays until a newer good one"

    # What keeps it.
    KEEPS = "keeps {tier} {period}"
    LAST = "one of the last {count}"
    WITHIN = "taken within {span}"
    KEEPS_ALL = "the policy keeps everything"
    NEWEST_FAILED = "one of the newest failed"
    NO_RETAIN_WORD = "no retain word: kept"
    UNMARKED = "unmarked: kept again"
    DATE_NOT_FOLLOWED = "its delete-after {value!r} is not followed"

    # What a tier's label says that it does not keep.
    RELEASED = "released from {tier} {value}: {why}"
    BEYOND_COUNT = "{ordinal} newest, the rule keeps {count}"
    KEPT_BY_OTHER = "{name} keeps it"
    NOT_COUNTED = "does not count"
    RUN_FAILED = "the run failed"
    DAYS_FILL_NO_TIER = "a point for a number of days fills no tier"
    OTHER_PERIOD = "its {tier} label said {value}, but it was taken in {period}"
    MALFORMED_TIER = "malformed {tier} label {value!r} counts as none"

    # Its date.
    MALFORMED_DATE = "malformed date {value!r}: kept; write YYYY-MM-DD or remove it"
    MALFORMED_MARK = "malformed marked-at {value!r}: kept; remove it"
    DATED = "kept until its date {date} is past"
    PAST = "past its date {date}"
    PAST_BUT = "{past}, but {why}"
    YOUNG = "not yet good for a day"
    IN_USE = "in use by {user}"
    SWEPT = "swept: {past}"

    # Our mark.
    IN_GRACE = "marked {date}: in its grace"
    MARK_WAITS = "marked, but not ready: waits"
    DAYS_WITHOUT_DATE = "for a number of days, but without a date: kept until one is set"
    NOT_READY = "not ready: kept, not counted"
    MARKED = "marked {date}: kept by no rule"

    # What a brake takes away.
    NOT_MARKED = "kept by no rule, but not marked: {why}"
    TOO_MANY = "{marks} of {size} points would be {how} at once"
    RELEASED_DATE = "{past}, which is released: swept by the next pass"
    RELEASED_WITH_IT = "others are released with it"
    OF_THE_FUTURE = "point {name} is of the future"
    SHRUNK = "its series is frozen: {why}"

    # What keeps a rolling copy besides.
    MADE_LAST = "it was made last"
    NEWEST_WHOLE = "nothing is missing in it, as in those after it"
    YOUNG_COPY = "it became good less than {hours} hours ago"
    BACKUP_NAMED = "a RestoreRequest names its Backup"
    COPIES_MISSING = "nothing is changed: {missing} of {size} copies were not found"
    STILL_TO_COME = (
        "made at {time}, which is still to come: kept, never counted; if its node's clock was "
        "ahead, set `taken` in its file to when it was made"
    )


def past(point: Point) -> str:
    """Given a point with a date, say that it is past."""
    return Reason.PAST.format(date=point.labels[labels.DELETE_AFTER])
