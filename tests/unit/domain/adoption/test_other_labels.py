"""What another tool's labels say is carried over as it stands, but for a snapshot's own period."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from tests.unit.cli.running import FOREIGN, foreign

from backstay.domain import labels
from backstay.domain.adoption.other_labels import labels_from

VIENNA = ZoneInfo("Europe/Vienna")
NIGHT = "2026-11-21T23:32:00Z"


@pytest.mark.parametrize(
    ("taken", "theirs", "carried"),
    [
        ("2026-11-21T12:00:00Z", "w47", "w47"),
        ("2026-11-21T12:00:00Z", "2026-w47", "w47"),
        ("2026-01-01T12:00:00Z", "2026-w01", "w01"),
        # ISO years end apart from the calendar's
        ("2024-12-30T12:00:00Z", "w01", "w01"),
        ("2024-12-30T12:00:00Z", "2025-w01", "w01"),
        ("2027-01-03T12:00:00Z", "2026-w53", "w53"),
        # Sunday night in UTC, Monday in Vienna
        ("2027-01-03T23:30:00Z", "2027-w01", "w01"),
        # of another week than it says, or of none: for retention to judge and report
        ("2024-12-30T12:00:00Z", "2024-w53", "2024-w53"),
        ("2027-01-03T23:30:00Z", "2026-w53", "2026-w53"),
        ("2026-11-21T12:00:00Z", "w46", "w46"),
        ("2026-11-21T12:00:00Z", "2026-W47", "2026-W47"),
        ("2026-11-21T12:00:00Z", "", ""),
    ],
)
def test_a_week_is_carried_over_in_our_form_where_it_names_its_own(
    taken: str, theirs: str, carried: str
) -> None:
    given = foreign("one", taken, weekly=theirs)
    assert labels_from(given, FOREIGN, VIENNA)[labels.WEEKLY] == carried


@pytest.mark.parametrize("date", ["", "never", "2025.1.9", "20200101"])
def test_a_malformed_date_is_carried_over_as_it_is(date: str) -> None:
    given = foreign("one", NIGHT, delete_after=date)
    assert labels_from(given, FOREIGN, VIENNA)[labels.DELETE_AFTER] == date
