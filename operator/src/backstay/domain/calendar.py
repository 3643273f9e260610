"""Calendar periods: the hour, day, ISO week, month and year that a point belongs to.

Invariants: periods are compared by their `order` (for weeks the ISO year and week, never the
bare label: w01 follows w52); a period's label value is written in one form and read in every
form that was ever written. Hours are UTC, so that a doubled local hour is two periods; all
others are the policy's zone.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from backstay.domain import labels
from backstay.domain.errors import UserError


class Tier(StrEnum):
    """The calendar rules, finest first."""

    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    YEARLY = "yearly"


TIER_LABELS: Final[Mapping[Tier, str]] = MappingProxyType(
    {
        Tier.HOURLY: labels.HOURLY,
        Tier.DAILY: labels.DAILY,
        Tier.WEEKLY: labels.WEEKLY,
        Tier.MONTHLY: labels.MONTHLY,
        Tier.YEARLY: labels.YEARLY,
    }
)


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """One hour, day, week, month or year; ordered by time within its tier."""

    order: tuple[int, ...]
    value: str
    """The label value as we write it."""
    also: tuple[str, ...] = ()
    """Other spellings of the same period that are read."""

    def is_named_by(self, value: str | None) -> bool:
        """Given a label value or None, return whether it names this very period."""
        return value is not None and (value == self.value or value in self.also)


def _hour(taken: datetime, _zone: tzinfo) -> Period:
    at = taken.astimezone(UTC)
    return Period((at.year, at.month, at.day, at.hour), f"{at.date().isoformat()}T{at.hour:02d}Z")


def _day(taken: datetime, zone: tzinfo) -> Period:
    at = taken.astimezone(zone)
    return Period((at.year, at.month, at.day), at.date().isoformat())


def _week(taken: datetime, zone: tzinfo) -> Period:
    year, week, _ = taken.astimezone(zone).isocalendar()
    return Period((year, week), f"w{week:02d}", (f"{year:04d}-w{week:02d}",))


def _month(taken: datetime, zone: tzinfo) -> Period:
    at = taken.astimezone(zone)
    return Period((at.year, at.month), f"{at.year:04d}-{at.month:02d}")


def _year(taken: datetime, zone: tzinfo) -> Period:
    at = taken.astimezone(zone)
    return Period((at.year,), f"{at.year:04d}")


_PERIODS: Final[Mapping[Tier, Callable[[datetime, tzinfo], Period]]] = MappingProxyType(
    {
        Tier.HOURLY: _hour,
        Tier.DAILY: _day,
        Tier.WEEKLY: _week,
        Tier.MONTHLY: _month,
        Tier.YEARLY: _year,
    }
)

_HOUR_VALUE: Final = re.compile(r"(\d{4}-\d{2}-\d{2})T([01]\d|2[0-3])Z", re.ASCII)
_DATE_VALUE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_WEEK_VALUE: Final = re.compile(r"(?:\d{4}-)?w(?:0[1-9]|[1-4]\d|5[0-3])", re.ASCII)
_MONTH_VALUE: Final = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])", re.ASCII)
_YEAR_VALUE: Final = re.compile(r"\d{4}", re.ASCII)


def period_of(tier: Tier, taken: datetime, zone: tzinfo) -> Period:
    """Given a rule, the moment of a snapshot (aware) and the policy's zone, return its period."""
    return _PERIODS[tier](taken, zone)


def is_well_formed(tier: Tier, value: str) -> bool:
    """Given a rule and the text of its label, return whether it names a period at all."""
    match tier:
        case Tier.HOURLY:
            found = _HOUR_VALUE.fullmatch(value)
            return found is not None and parse_date(found[1]) is not None
        case Tier.DAILY:
            return parse_date(value) is not None
        case Tier.WEEKLY:
            return _WEEK_VALUE.fullmatch(value) is not None
        case Tier.MONTHLY:
            return _MONTH_VALUE.fullmatch(value) is not None
        case Tier.YEARLY:
            return _YEAR_VALUE.fullmatch(value) is not None


def parse_date(text: str) -> date | None:
    """Given text, return its date if it is exactly YYYY-MM-DD, else None.

    Strict on purpose: the ancestor deleted by comparing strings, so that an empty or foreign
    date meant "long ago" (research: backup-ns, defect 11).
    """
    if not _DATE_VALUE.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def local_date(instant: datetime, zone: tzinfo) -> date:
    """Given an aware instant and a zone, return the date on that zone's calendar."""
    return instant.astimezone(zone).date()


_NO_ZONES: Final = frozenset({"Factory", "localtime", "posixrules"})
"""Files beside the zones: what nobody has set, the machine's own setting, and a template."""
_TREES: Final = ("posix", "right")
"""Copies of all zones; those of `right` count leap seconds, and are off by half a minute."""


def load_zone(name: str) -> ZoneInfo:
    """Given an IANA name, return its zone. Raise UserError if there is no such zone.

    What else lies among a machine's zone files is none: it differs from node to node.
    """
    try:
        if name in _NO_ZONES or name.partition("/")[0] in _TREES:
            raise ZoneInfoNotFoundError(name)
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UserError(
            "InvalidTimeZone",
            f"spec.schedule.timeZone: {name!r} is no known time zone;"
            f" use {_likely(name) or 'an IANA name such as Europe/Vienna, or UTC'}",
        ) from error


def _likely(name: str) -> str | None:
    """The zone that somebody meant who wrote it in another case, or with its tree."""
    head, _, rest = name.partition("/")
    wanted = (rest if head in _TREES else name).lower()
    return _zones().get(wanted)


@cache
def _zones() -> Mapping[str, str]:
    """All zones by their names in lower case: a walk through folders, once."""
    return {zone.lower(): zone for zone in available_timezones() if zone not in _NO_ZONES}
