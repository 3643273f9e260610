"""How far our clock is from the API server's, and what follows where that is too far."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from backstay.domain.retention.brakes import Brake

CLOCK_SLACK: Final = timedelta(seconds=60)
"""How far our clock may be from the API server's."""

CLOCK_SKEW: Final = "ClockSkew"


def clock_brake(skew: timedelta | None) -> Brake | None:
    """Given how far our clock is ahead of the API server's (None: it never said its time), return
    the brake if that is too far, else None.

    The message has no figures: they change at each pass, and each change would be a write.
    """
    what = "the API server does not report its time" if skew is None else clock_off(skew)
    if not what:
        return None
    return Brake(
        CLOCK_SKEW,
        f"{what}: nothing is marked or swept until they agree; check the time of the nodes",
    )


def clock_off(skew: timedelta | None) -> str:
    """Given how far our clock is ahead of the API server's (None: nobody knows), return in words
    that this is too far, "" if it is not known to be. No figures, as in clock_brake().
    """
    if skew is None or abs(skew) <= CLOCK_SLACK:
        return ""
    side = "ahead of" if skew > timedelta(0) else "behind"
    seconds = int(CLOCK_SLACK.total_seconds())
    return f"the operator's clock is over {seconds} s {side} the API server's"


def slots_now(now: datetime, skew: timedelta | None) -> datetime:
    """Given our clock and how far it is ahead of the API server's, return the moment that slots
    go by: ours, or the API server's where the two are known to differ. All that slots are compared
    with is by its clock (when a policy was created, when it was edited), and a new leader on
    another node goes on by the same one.
    """
    return now - skew if skew is not None and clock_off(skew) else now
