"""When a policy runs: five-field cron and macros, in a time zone, over cronsim.

What happens when clocks change:

- A schedule that names its hours (`32 0 * * *`, `*/15 2 * * *`, `0 */6 * * *`) means local
  times. One that is skipped runs once, right after the gap (several inside one gap run once
  together); one that comes twice runs the first time only.
- A schedule that runs in every hour (`* * * * *`, `@hourly`, `15 0-23 * * *`) means real time:
  it runs in both passes through a doubled hour, and an hour that does not exist has no run.
  Where clocks move by half an hour a minute may be skipped or doubled: such a run comes once.

Invariant: slots are whole minutes in UTC and strictly increasing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from cronsim.cronsim import SpecItem

from backstay.domain.calendar import load_zone
from backstay.domain.errors import UserError

_LENGTH_LIMIT: Final = 200
_HOURS_A_DAY: Final = 24
_MACROS: Final = MappingProxyType(
    {
        "@hourly": "0 * * * *",
        "@daily": "0 0 * * *",
        "@midnight": "0 0 * * *",
        "@weekly": "0 0 * * 0",
        "@monthly": "0 0 1 * *",
        "@yearly": "0 0 1 1 *",
        "@annually": "0 0 1 1 *",
    }
)
_RANGES: Final = MappingProxyType(
    {
        "minute": "0-59",
        "hour": "0-23",
        "day-of-month": "a day (1-31) that the month has, or L for its last one",
        "month": "1-12 or JAN-DEC",
        "day-of-week": "0-7 or SUN-SAT",
    }
)
_FIRST_LOOK: Final = datetime(2024, 1, 1, tzinfo=UTC)
"""From here a schedule must find a slot; cronsim looks 50 years ahead."""
_DAYS: Final = range(1, 32)
_AROUND: Final = timedelta(days=2 * 366)
"""Zones are compared from so long before now until twice that after it."""
_STRIDE: Final = timedelta(hours=12)
"""No zone changes its clocks twice within this."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule that is known to fire. Make it with parse()."""

    cron: str
    """As the person wrote it."""
    zone: ZoneInfo
    _expression: str
    """What cronsim is given: macros spelled out, stars adjusted as the module's text says."""

    @classmethod
    def parse(cls, cron: str, zone: str, field: str = "spec.schedule.cron") -> "Schedule":
        """Given five-field cron or a macro, an IANA zone, and the field that the cron stands in,
        return the schedule.

        Raise UserError (InvalidTimeZone, InvalidSchedule) naming the field and the remedy.
        """
        known = load_zone(zone)
        try:
            return cls(cron, known, _expression(cron))
        except ValueError as error:
            raise UserError("InvalidSchedule", f"{field}: {error}") from error

    @property
    def meaning(self) -> str:
        """What the schedule says, in one line that of_meaning() reads again."""
        return f"{self._expression} {self.zone.key}"

    @classmethod
    def of_meaning(cls, text: str) -> "Schedule | None":
        """Given what `meaning` said once, return that schedule; None if today's zone files or
        rules do not know it any more.
        """
        cron, _, zone = text.rpartition(" ")
        try:
            return cls.parse(cron, zone)
        except UserError:
            return None

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Given an aware instant, yield every slot (UTC) strictly after it, in order."""
        last = instant.astimezone(UTC)
        for local in CronSim(self._expression, instant.astimezone(self.zone)):
            slot = local.astimezone(UTC)
            # cronsim forgets on which pass through a doubled hour it was started.
            if slot > last:
                last = slot
                yield slot

    def next_after(self, instant: datetime) -> datetime:
        """Given an aware instant, return the first slot (UTC) strictly after it."""
        return next(self.after(instant))

    def newest_in(self, after: datetime, until: datetime) -> datetime | None:
        """Given two aware instants, return the newest slot in (after, until], or None.

        Found by bisection, so that they may lie years apart.
        """
        newest = self.next_after(after)
        if newest > until:
            return None
        # Invariant: newest is a slot in the range; no slot is in (beyond, until].
        beyond = until
        while beyond - newest >= timedelta(minutes=1):  # slots are at least a minute apart
            middle = newest + (beyond - newest) / 2
            found = self.next_after(middle)
            if found <= until:
                newest = found
            else:
                beyond = middle
        return newest


def same_slots(one: Schedule, other: Schedule, now: datetime) -> bool:
    """Given two schedules, return whether they name the same slots, however they are written: the
    same minutes, hours and days, and zones whose clocks are the same for years around now.
    """
    return _sets(one) == _sets(other) and (
        one.zone.key == other.zone.key or _shifts(one.zone, now) == _shifts(other.zone, now)
    )


def _sets(schedule: Schedule) -> tuple[object, ...]:
    sim = CronSim(schedule._expression, _FIRST_LOOK)
    weekdays = frozenset(_weekday(item) for item in sim.weekdays)
    days = frozenset(sim.days)
    every_day, every_weekday = days >= set(_DAYS), weekdays >= set(range(7))
    matter: tuple[object, ...] = (days, weekdays, sim.day_and)
    if (every_day and every_weekday) or (not sim.day_and and (every_day or every_weekday)):
        matter = ()  # "or" with every day is every day
    elif every_weekday:
        matter = (days,)
    elif every_day:
        matter = (weekdays,)
    return frozenset(sim.minutes), frozenset(sim.hours), frozenset(sim.months), matter


def _weekday(item: SpecItem) -> SpecItem:
    """Sunday is 0 and 7."""
    return (item[0] % 7, item[1]) if isinstance(item, tuple) else item % 7


def _shifts(zone: ZoneInfo, now: datetime) -> list[tuple[datetime, timedelta | None]]:
    """From when on a zone's clocks are how far from UTC, for years around now, to the minute."""

    def offset(moment: datetime) -> timedelta | None:
        return moment.astimezone(zone).utcoffset()

    moment = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - _AROUND
    end = moment + 3 * _AROUND
    found = [(moment, offset(moment))]
    while moment < end:
        after = moment + _STRIDE
        if offset(after) != found[-1][1]:
            before, beyond = moment, after
            while beyond - before > timedelta(minutes=1):
                middle = before + (beyond - before) / 2
                if offset(middle) == found[-1][1]:
                    before = middle
                else:
                    beyond = middle
            found.append((beyond, offset(after)))
        moment = after
    return found


def _expression(cron: str) -> str:
    """Raise ValueError saying what is wrong with it, and the remedy."""
    text = cron.strip()
    if len(text) > _LENGTH_LIMIT:
        raise _refusal(cron[:40] + "...", f"is longer than {_LENGTH_LIMIT} characters")
    if text.startswith("@"):
        if text.lower() not in _MACROS:
            raise _refusal(cron, f"is no known macro; use one of {', '.join(_MACROS)}")
        text = _MACROS[text.lower()]
    fields = text.split()
    if len(fields) != len(_RANGES):
        raise _refusal(
            cron,
            f"has {len(fields)} fields; write five: minute hour day-of-month month day-of-week"
            " (there are no seconds and no years)",
        )
    try:
        sim = CronSim(text, _FIRST_LOOK)
        next(sim)
    except CronSimError as error:
        field = str(error).removeprefix("Bad ")
        raise _refusal(
            cron, f"has a {field} field that never matches; use {_RANGES.get(field, '')}"
        ) from error
    except StopIteration as error:
        raise _refusal(cron, "never fires; choose a day that its months have") from error
    # cronsim takes a star in minute or hour for "real time"; we take the set of hours for it.
    if len(sim.hours) == _HOURS_A_DAY:
        fields[1] = "*"
    else:
        fields[0] = fields[0].replace("*", "0-59")
        fields[1] = fields[1].replace("*", "0-23")
    return " ".join(fields)


def _refusal(cron: str, what: str) -> ValueError:
    return ValueError(f"{cron!r} {what}")
