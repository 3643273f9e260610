"""Slots fall where a person expects them, on clock-change nights as well."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice

import pytest

from backstay.domain.errors import UserError
from backstay.domain.schedule.cron import Schedule, same_slots


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def local(cron: str, zone: str, start: str, count: int) -> list[str]:
    schedule = Schedule.parse(cron, zone)
    slots = islice(schedule.after(at(start)), count)
    return [slot.astimezone(schedule.zone).isoformat(timespec="minutes") for slot in slots]


NIGHTS = [
    # Vienna springs forward at 02:00 on 2026-03-29 and falls back at 03:00 on 2026-10-25.
    ("30 2 * * *", "Europe/Vienna", "2026-03-28T12:00Z",
     ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]),
    ("*/15 2 * * *", "Europe/Vienna", "2026-03-28T12:00Z",
     ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"]),
    ("0 */2 * * *", "Europe/Vienna", "2026-03-28T22:30Z",
     ["2026-03-29T00:00+01:00", "2026-03-29T03:00+02:00", "2026-03-29T04:00+02:00"]),
    ("0 2,3 * * *", "Europe/Vienna", "2026-03-28T12:00Z",
     ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"]),
    ("30 2 * * *", "Europe/Vienna", "2026-10-24T12:00Z",
     ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]),
    ("30 2 * * *", "Europe/Vienna", "2026-10-25T01:10Z", ["2026-10-26T02:30+01:00"]),
    ("*/30 2 * * *", "Europe/Vienna", "2026-10-24T12:00Z",
     ["2026-10-25T02:00+02:00", "2026-10-25T02:30+02:00", "2026-10-26T02:00+01:00"]),
    ("15 * * * *", "Europe/Vienna", "2026-03-29T00:00Z",
     ["2026-03-29T01:15+01:00", "2026-03-29T03:15+02:00"]),
    ("15 * * * *", "Europe/Vienna", "2026-10-25T00:00Z",
     ["2026-10-25T02:15+02:00", "2026-10-25T02:15+01:00", "2026-10-25T03:15+01:00"]),
    ("15 0-23 * * *", "Europe/Vienna", "2026-10-25T00:00Z",
     ["2026-10-25T02:15+02:00", "2026-10-25T02:15+01:00", "2026-10-25T03:15+01:00"]),
    ("30 2 * * *", "America/New_York", "2026-03-07T12:00Z",
     ["2026-03-08T03:00-04:00", "2026-03-09T02:30-04:00"]),
    ("30 1 * * *", "America/New_York", "2026-10-31T12:00Z",
     ["2026-11-01T01:30-04:00", "2026-11-02T01:30-05:00"]),
    ("30 2 * * *", "Asia/Kolkata", "2026-03-28T12:00Z",
     ["2026-03-29T02:30+05:30", "2026-03-30T02:30+05:30"]),
    # Lord Howe moves by half an hour.
    ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00Z",
     ["2026-10-04T02:30+11:00", "2026-10-05T02:15+11:00"]),
    ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00Z",
     ["2026-04-05T01:45+11:00", "2026-04-06T01:45+10:30"]),
    ("45 * * * *", "Australia/Lord_Howe", "2026-04-04T14:00Z",
     ["2026-04-05T01:45+11:00", "2026-04-05T02:45+10:30"]),
    # Apia had no 2011-12-30 at all.
    ("32 0 * * *", "Pacific/Apia", "2011-12-29T12:00Z",
     ["2011-12-31T00:00+14:00", "2011-12-31T00:32+14:00", "2012-01-01T00:32+14:00"]),
    ("15 * * * *", "Pacific/Apia", "2011-12-30T09:00Z",
     ["2011-12-29T23:15-10:00", "2011-12-31T00:15+14:00"]),
    # Havana's gap is at midnight.
    ("0 0 * * *", "America/Havana", "2026-03-07T12:00Z",
     ["2026-03-08T01:00-04:00", "2026-03-09T00:00-04:00"]),
]  # fmt: skip


@pytest.mark.parametrize(("cron", "zone", "start", "expected"), NIGHTS)
def test_slots_on_nights_when_clocks_change(
    cron: str, zone: str, start: str, expected: list[str]
) -> None:
    assert local(cron, zone, start, len(expected)) == expected


@pytest.mark.parametrize(
    ("macro", "expected"),
    [
        ("@hourly", "2026-11-22T01:00+01:00"),
        ("@daily", "2026-11-23T00:00+01:00"),
        ("@midnight", "2026-11-23T00:00+01:00"),
        ("@weekly", "2026-11-29T00:00+01:00"),
        ("@monthly", "2026-12-01T00:00+01:00"),
        ("@yearly", "2027-01-01T00:00+01:00"),
        ("@annually", "2027-01-01T00:00+01:00"),
    ],
)
def test_macros_are_what_they_say_in_the_policys_zone(macro: str, expected: str) -> None:
    assert local(macro, "Europe/Vienna", "2026-11-21T23:32Z", 1) == [expected]


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("* * * * * *", "has 6 fields; write five"),
        ("* * * *", "has 4 fields; write five"),
        ("", "has 0 fields"),
        ("0 0 31 2 *", "day-of-month"),
        ("0 0 31 4,6 *", "day-of-month"),
        ("61 * * * *", "minute field"),
        ("0 24 * * *", "hour field"),
        ("0 0 1 13 *", "month field"),
        ("0 0 * * 8", "day-of-week"),
        ("*/0 * * * *", "minute field"),
        ("@reboot", "use one of @hourly"),
        ("0 0 LW * */7", "never fires"),
        ("9" * 5000 + " * * * *", "longer than"),
    ],
)
def test_a_schedule_that_cannot_work_is_refused_with_field_and_remedy(
    cron: str, words: str
) -> None:
    with pytest.raises(UserError, match=r"^spec\.schedule\.cron: ") as caught:
        Schedule.parse(cron, "UTC")
    assert words in caught.value.message
    assert caught.value.reason == "InvalidSchedule"


@pytest.mark.parametrize("zone", ["Mars/Base", "", "../etc/passwd", "Europe", "localtime", "a\0b"])
def test_an_unknown_zone_is_refused_with_the_remedy(zone: str) -> None:
    with pytest.raises(UserError, match="IANA name such as Europe/Vienna") as caught:
        Schedule.parse("@daily", zone)
    assert caught.value.reason == "InvalidTimeZone"


def test_a_schedule_of_a_field_is_refused_with_that_field() -> None:
    with pytest.raises(UserError, match=r"^spec\.schedule\.blackouts\[1\]\.start: '61 "):
        Schedule.parse("61 * * * *", "UTC", "spec.schedule.blackouts[1].start")


NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("@daily Europe/Vienna", " 0  0 * * *  Europe/Vienna"),
        ("0 2 * * * UTC", "00 02 * * * UTC"),
        ("0 2 * * * Europe/Kiev", "0 2 * * * Europe/Kyiv"),
        ("0 2 * * * UTC", "0 2 * * * Etc/Zulu"),
        ("0 2 * * MON-FRI UTC", "0 2 * * 1,2,3,4,5 UTC"),
        ("0 2 * * SUN UTC", "0 2 * * 7 UTC"),
        ("0 2 * * 0 UTC", "0 2 * * 7 UTC"),
        ("0 2 * * 7#2 UTC", "0 2 * * 0#2 UTC"),
        ("0 2 * * 7L UTC", "0 2 * * 0L UTC"),
        ("0 2 1-31 * * UTC", "0 2 * 1-12 * UTC"),
        ("0 2 1-31 * 1 UTC", "0 2 * * * UTC"),
        ("0 2 * * 0-6 UTC", "0 2 1-31 * 1 UTC"),
        ("*/15 * * * * UTC", "0,15,30,45 0-23 * * * UTC"),
        ("0 2 1,15 JAN * UTC", "0 2 15,1 1 * UTC"),
        ("0 2 */1 * 1 UTC", "0 2 * * 1 UTC"),
        # the same clocks for years around now
        ("0 2 * * * Europe/Vienna", "0 2 * * * Europe/Berlin"),
    ],
)
def test_two_ways_of_writing_one_schedule_name_the_same_slots(one: str, other: str) -> None:
    first, second = (Schedule.parse(*text.rsplit(" ", 1)) for text in (one, other))
    assert same_slots(first, second, NOW)
    assert list(islice(first.after(NOW), 50)) == list(islice(second.after(NOW), 50))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("@daily Europe/Vienna", "@hourly Europe/Vienna"),
        ("0 2 * * * Europe/Vienna", "0 2 * * * Europe/London"),
        ("0 2 * * * Europe/Vienna", "0 2 * * * Africa/Algiers"),  # the same in winter only
        ("0 2 * * * Europe/Vienna", "0 2 * * * Africa/Cairo"),
        ("0 2 * * * America/New_York", "0 2 * * * America/Havana"),  # other hours of change
        ("0 2 */2 * 1 UTC", "0 2 1-31/2 * 1 UTC"),  # and, or
        ("0 2 1 * 1 UTC", "0 2 1 * * UTC"),
        ("0 2 L * * UTC", "0 2 31 * * UTC"),
        ("0 2 * * 1#1 UTC", "0 2 * * 1L UTC"),
    ],
)
def test_schedules_of_other_slots_are_distinguished(one: str, other: str) -> None:
    first, second = (Schedule.parse(*text.rsplit(" ", 1)) for text in (one, other))
    assert not same_slots(first, second, NOW)


def test_what_a_schedule_means_can_be_read_again_and_what_is_no_schedule_is_none() -> None:
    schedule = Schedule.parse("@daily", "Europe/Vienna")
    assert Schedule.of_meaning(schedule.meaning) == replace(schedule, cron="0 0 * * *")
    for text in ("", "0 0 * * * Mars/Base", "61 * * * * UTC", "0 0 * * *"):
        assert Schedule.of_meaning(text) is None


@pytest.mark.parametrize(
    ("after", "until", "found"),
    [
        ("2026-11-22T01:00Z", "2026-11-22T05:10Z", "2026-11-22T05:00Z"),
        ("2026-11-22T01:00Z", "2026-11-22T02:00Z", "2026-11-22T02:00Z"),
        ("2026-11-22T01:00Z", "2026-11-22T01:59Z", None),
        ("2026-11-22T01:00Z", "2026-11-22T01:00Z", None),
        ("2026-11-22T05:00Z", "2026-11-22T01:00Z", None),
    ],
)
def test_the_newest_slot_lies_after_the_start_and_not_after_the_end(
    after: str, until: str, found: str | None
) -> None:
    schedule = Schedule.parse("0 * * * *", "UTC")
    assert schedule.newest_in(at(after), at(until)) == (at(found) if found else None)


def test_sixteen_years_of_minutes_are_not_walked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = Schedule.parse("* * * * *", "Europe/Vienna")
    asked: list[datetime] = []
    real = Schedule.next_after

    def counting(self: Schedule, instant: datetime) -> datetime:
        asked.append(instant)
        return real(self, instant)

    monkeypatch.setattr(Schedule, "next_after", counting)
    found = schedule.newest_in(at("2010-01-01T00:00Z"), at("2026-11-22T05:10:30Z"))
    assert found == at("2026-11-22T05:10Z")
    assert len(asked) < 40


def test_slots_are_utc() -> None:
    slot = Schedule.parse("@daily", "Asia/Kolkata").next_after(at("2026-11-22T00:00Z"))
    assert slot.tzinfo is UTC
