"""Periods are those of the policy's zone, and weeks are ISO weeks."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from backstay.domain.calendar import Tier, is_well_formed, load_zone, parse_date, period_of
from backstay.domain.errors import UserError

VIENNA = ZoneInfo("Europe/Vienna")
KOLKATA = ZoneInfo("Asia/Kolkata")
LATE = datetime(2026, 11, 21, 23, 32, tzinfo=UTC)


@pytest.mark.parametrize(
    ("tier", "value"),
    [
        (Tier.HOURLY, "2026-11-21T23Z"),
        (Tier.DAILY, "2026-11-22"),
        (Tier.WEEKLY, "w47"),
        (Tier.MONTHLY, "2026-11"),
        (Tier.YEARLY, "2026"),
    ],
)
def test_labels_are_written_as_the_design_has_them(tier: Tier, value: str) -> None:
    assert period_of(tier, LATE, VIENNA).value == value
    assert is_well_formed(tier, value)


@pytest.mark.parametrize(
    ("day", "week", "iso_year"),
    [
        ("2019-12-30", "w01", 2020),
        ("2020-12-31", "w53", 2020),
        ("2021-01-03", "w53", 2020),
        ("2021-01-04", "w01", 2021),
        ("2024-12-30", "w01", 2025),
        ("2025-01-01", "w01", 2025),
        ("2025-12-29", "w01", 2026),
        ("2026-12-31", "w53", 2026),
        ("2027-01-03", "w53", 2026),
        ("2027-01-04", "w01", 2027),
        ("2028-02-29", "w09", 2028),
        ("2032-12-31", "w53", 2032),
    ],
)
def test_a_week_belongs_to_its_iso_year(day: str, week: str, iso_year: int) -> None:
    period = period_of(Tier.WEEKLY, datetime.fromisoformat(day + "T12:00Z"), VIENNA)
    assert period.value == week
    assert period.order[0] == iso_year
    assert period.is_named_by(week)
    assert period.is_named_by(f"{iso_year}-{week}")
    assert not period.is_named_by(f"{iso_year - 1}-{week}")


def test_the_first_week_is_newer_than_the_last_week_of_the_year_before() -> None:
    old = period_of(Tier.WEEKLY, datetime(2026, 12, 31, tzinfo=UTC), VIENNA)
    new = period_of(Tier.WEEKLY, datetime(2027, 1, 4, tzinfo=UTC), VIENNA)
    assert (old.value, new.value) == ("w53", "w01")
    assert new > old


def test_the_two_passes_through_a_doubled_hour_are_two_hours() -> None:
    first = period_of(Tier.HOURLY, datetime(2026, 10, 25, 0, 30, tzinfo=UTC), VIENNA)
    second = period_of(Tier.HOURLY, datetime(2026, 10, 25, 1, 30, tzinfo=UTC), VIENNA)
    assert first < second


def test_a_zone_decides_the_day() -> None:
    assert period_of(Tier.DAILY, datetime(2026, 11, 21, 18, 29, tzinfo=UTC), KOLKATA).value == (
        "2026-11-21"
    )
    assert period_of(Tier.DAILY, datetime(2026, 11, 21, 18, 30, tzinfo=UTC), KOLKATA).value == (
        "2026-11-22"
    )


@pytest.mark.parametrize(
    ("tier", "value"),
    [
        (Tier.HOURLY, "2026-11-22T24Z"),
        (Tier.HOURLY, "2026-02-30T01Z"),
        (Tier.HOURLY, "2026-11-22T01"),
        (Tier.DAILY, "2026-02-30"),
        (Tier.WEEKLY, "w54"),
        (Tier.WEEKLY, "w00"),
        (Tier.WEEKLY, "w7"),
        (Tier.WEEKLY, "47"),
        (Tier.MONTHLY, "2026-13"),
        (Tier.YEARLY, "26"),
    ],
)
def test_a_malformed_label_is_known_as_such(tier: Tier, value: str) -> None:
    assert not is_well_formed(tier, value)


@pytest.mark.parametrize(
    "text",
    ["", "never", "2025.1.9", "20200101", "2026-2-3", "2026-02-30", "2026-11-22 ", "٢٠٢٦-11-22"],
)
def test_only_strict_dates_are_dates(text: str) -> None:
    assert parse_date(text) is None


def test_a_strict_date_is_read() -> None:
    assert parse_date("2028-02-29") == date(2028, 2, 29)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("right/Europe/Vienna", "use Europe/Vienna"),
        ("posix/Europe/Vienna", "use Europe/Vienna"),
        ("posix/UTC", "use UTC"),
        ("europe/vienna", "use Europe/Vienna"),
        ("utc", "use UTC"),
        ("EUROPE/KIEV", "use Europe/Kiev"),
        ("Factory", "use an IANA name such as"),
        ("factory", "use an IANA name such as"),
        ("localtime", "use an IANA name such as"),
        ("posixrules", "use an IANA name such as"),
        ("right", "use an IANA name such as"),
        ("right/", "use an IANA name such as"),
        ("leapseconds", "use an IANA name such as"),
        ("Europe/Vienna/", "use an IANA name such as"),
        ("Europe", "use an IANA name such as"),
    ],
)
def test_what_else_lies_among_zone_files_is_no_zone(name: str, remedy: str) -> None:
    with pytest.raises(UserError) as caught:
        load_zone(name)
    assert caught.value.reason == "InvalidTimeZone"
    assert caught.value.message.startswith(
        f"spec.schedule.timeZone: {name!r} is no known time zone"
    )
    assert remedy in caught.value.message


@pytest.mark.parametrize("name", ["Europe/Kiev", "Europe/Kyiv", "Etc/GMT+5", "EST5EDT", "Zulu"])
def test_old_names_of_zones_are_names(name: str) -> None:
    assert load_zone(name).key == name


def test_a_zone_is_loaded_by_its_name() -> None:
    assert load_zone("Australia/Lord_Howe").key == "Australia/Lord_Howe"
