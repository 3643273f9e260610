"""Reading times as Kubernetes writes them (RFC 3339)."""

from __future__ import annotations

from datetime import UTC, datetime

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
