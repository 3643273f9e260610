"""Reading times as Kubernetes writes them (RFC 3339)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from backstay.domain.errors import DataError


def parse_time(text: str) -> datetime:
    """Given an RFC 3339 time, return it aware, in UTC. Raise DataError if it is none."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise DataError(f"{text!r} has no time zone")
        return moment.astimezone(UTC)
    except ValueError as error:
        raise DataError(f"{text!r} is not an RFC 3339 time") from error
    except OverflowError as error:
        # The first and the last day of all that there can be may be none in UTC.
        raise DataError(f"{text!r} is too far") from error


def left(until: datetime | None, now: datetime, longest: timedelta) -> timedelta:
    """Given until when something waits, now, and how long such a wait is at most, return how long
    it goes on, 0 if it is over.

    A moment that is further away than a wait can be was written by a clock that was ahead: what
    waits for it would wait for as long as that clock was wrong.
    """
    wait = until - now if until is not None else timedelta(0)
    return wait if timedelta(0) < wait <= longest else timedelta(0)
