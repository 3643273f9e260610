"""When a policy runs: five-field cron and macros, in a time zone, over cronsim.

What happens when clocks change:

- A schedule that names its hours (`32 0 * * *`, `*/15 2 * * *`, `0 */6 * * *`) means local
  times. One that is skipped runs once, right after the gap (several inside one gap run once
  together); one that comes twice runs the first time only.
- A schedule that runs in every hour (`* * * * *`, `@hourly`, `15 0-23 * * *`) means real time:
  it runs in both passes through a doubled hour, and an hour that does not exist has no run.
  Where clocks move by half an hour a minute may be skipped or doubled: such a run comes once.

Invariant: slots are whole minutes in UTC and strictly increasing. All is pure; work is bounded
even after years of downtime with a schedule of every minute.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from backstay.domain.calendar import load_zone
from backstay.domain.errors import UserError

COUNT_LIMIT: Final = 500
"""Skipped slots are counted one by one up to here; this number means "at least so many"."""

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


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule that is known to fire. Make it with parse()."""

    cron: str
    """As the person wrote it."""
    zone: ZoneInfo
    _expression: str
    """What cronsim is given: macros spelled out, stars adjusted as the module's text says."""

    @classmethod
    def parse(cls, cron: str, zone: str) -> "Schedule":
        """Given five-field cron or a macro, and an IANA zone, return the schedule.

        Raise UserError (InvalidTimeZone, InvalidSchedule) naming the field and the remedy.
        """
        return cls(cron, load_zone(zone), _expression(cron))

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

    def latest_at_or_before(self, now: datetime, after: datetime) -> tuple[datetime | None, int]:
        """Given now and the last slot that is done, return the newest slot in (after, now], or
        None, and how many older ones lie in that window: exact below COUNT_LIMIT, which means
        "that many or more".

        The newest slot is found by bisection, so the window may span years.
        """
        newest = self.next_after(after)
        if newest > now:
            return None, 0
        # Invariant: newest is a slot in the window; no slot is in (beyond, now].
        beyond = now
        while beyond - newest >= timedelta(minutes=1):  # slots are at least a minute apart
            middle = newest + (beyond - newest) / 2
            found = self.next_after(middle)
            if found <= now:
                newest = found
            else:
                beyond = middle
        older = 0
        for slot in islice(self.after(after), COUNT_LIMIT):
            if slot >= newest:
                break
            older += 1
        return newest, older


@dataclass(frozen=True, slots=True)
class Due:
    """What a policy's schedule asks for at one moment."""

    slot: datetime | None
    """To be run now; None if nothing is due."""
    missed: int
    """Slots that will never run: older than `slot`, or past their starting deadline."""
    passed: datetime | None
    """The newest slot that was looked at. Written as lastSlot it keeps `missed` from being
    counted again where `slot` is None."""
    next_run: datetime


def due(
    schedule: Schedule,
    *,
    now: datetime,
    last_slot: datetime | None,
    created: datetime,
    resumed: datetime | None,
    newest_recorded: datetime | None,
    starting_deadline: timedelta | None,
) -> Due:
    """Given a schedule, the times up to which its slots are done (design section 2: lastSlot,
    newest scheduledFor on records and carriers, the policy's creation, the last unsuspend) and
    how late a run may start, return what is due.

    At most one slot is caught up, however long nobody looked.
    """
    done = max(t for t in (last_slot, created, resumed, newest_recorded) if t is not None)
    newest, missed = schedule.latest_at_or_before(now, done)
    # Slots up to `done` do not come again, not even when the clock was set back.
    next_run = schedule.next_after(max(now, done))
    if newest is None:
        return Due(None, 0, None, next_run)
    if starting_deadline is not None and now - newest > starting_deadline:
        return Due(None, missed + 1, newest, next_run)
    return Due(newest, missed, newest, next_run)


def _expression(cron: str) -> str:
    text = cron.strip()
    if len(text) > _LENGTH_LIMIT:
        raise _refusal(cron[:40] + "...", f"is longer than {_LENGTH_LIMIT} characters")
    if text.startswith("@"):
        if text.lower() not in _MACROS:
            raise _refusal(cron, f"is no known macro; use one of {', '.join(_MACROS)}")
        return _MACROS[text.lower()]
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


def _refusal(cron: str, what: str) -> UserError:
    return UserError("InvalidSchedule", f"spec.schedule.cron: {cron!r} {what}")
