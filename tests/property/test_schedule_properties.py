"""Slots do not depend on where one starts to look, and bisection finds what walking finds."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from backstay.domain.schedule.cron import Schedule

ZONES = (
    "Europe/Vienna",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/Havana",
)
crons = st.sampled_from(
    ["32 0 * * *", "30 2 * * *", "*/20 1,2 * * *", "15 * * * *", "0 */6 * * *", "45 1 * * SUN"]
)
# Every clock change of these zones, and Apia's lost day.
starts = st.one_of(
    st.integers(min_value=0, max_value=12 * 24 * 60).map(
        lambda minutes: datetime(2011, 12, 25, tzinfo=UTC) + timedelta(minutes=minutes)
    ),
    st.integers(min_value=0, max_value=400 * 24 * 60).map(
        lambda minutes: datetime(2025, 9, 20, tzinfo=UTC) + timedelta(minutes=minutes)
    ),
)


@given(crons, st.sampled_from(ZONES), starts, st.integers(min_value=0, max_value=8 * 24 * 60))
@settings(max_examples=60)
def test_bisection_finds_what_walking_finds(
    cron: str, zone: str, start: datetime, minutes: int
) -> None:
    schedule = Schedule.parse(cron, zone)
    now = start + timedelta(minutes=minutes)
    walked: list[datetime] = []
    for slot in schedule.after(start):
        if slot > now:
            break
        walked.append(slot)
    assert walked == sorted(set(walked))
    assert schedule.newest_in(start, now) == (walked[-1] if walked else None)


@given(crons, st.sampled_from(ZONES), starts, st.integers(min_value=0, max_value=3 * 24 * 60))
@settings(max_examples=60)
def test_where_one_starts_to_look_does_not_change_the_slots(
    cron: str, zone: str, start: datetime, minutes: int
) -> None:
    schedule = Schedule.parse(cron, zone)
    later = start + timedelta(minutes=minutes)
    walked = next(slot for slot in schedule.after(start) if slot > later)
    assert schedule.next_after(later) == walked
    assert walked.second == 0
