"""The models: reading is tolerant, writing is exact."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from backstay.api.backup import BackupPhase, BackupSpec, BackupStatus
from backstay.api.common import Condition, Size, format_time, with_condition
from backstay.api.policy import PolicySpec
from backstay.api.restore import RestoreSpec
from backstay.api.restore_status import RestorePhase
from backstay.api.retention import Retention
from backstay.api.shapes import Bytes
from backstay.api.snapshot import Snapshot
from backstay.durations import format_duration, parse_duration

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_a_policy_is_read_with_its_defaults() -> None:
    spec = PolicySpec.model_validate(
        {"source": {"claims": {"names": ["data-pg-0"]}}, "schedule": {"cron": "@daily"}}
    )
    assert spec.schedule is not None
    assert spec.schedule.time_zone == "UTC"
    assert spec.schedule.starting_deadline == timedelta(hours=6)
    assert (spec.snapshot, spec.snapshots) == (None, Snapshot())
    assert spec.retries == 2
    assert spec.retention is None


def test_fields_of_a_newer_version_are_ignored() -> None:
    assert Retention.model_validate({"daily": 7, "yearly": 3}).daily == 7


def test_what_is_absent_is_not_written() -> None:
    assert BackupSpec(policy="shop").dump() == {"policy": "shop", "trigger": "AdHoc"}


def test_from_is_read_and_written_under_its_own_name() -> None:
    claim = {"claim": "data-pg-0", "to": {"newClaim": {"name": "data-restored"}}}
    wire = {"from": {"backup": "shop-20261122-0032"}, "claims": [claim]}
    spec = RestoreSpec.model_validate(wire)
    assert spec.from_.backup == "shop-20261122-0032"
    assert spec.dump() == {**wire, "claims": [{**claim, "paths": []}], "acknowledge": []}


def test_a_status_survives_writing_and_reading() -> None:
    status = BackupStatus(phase=BackupPhase.DUMPING, attempt=1, started_at=NOON)
    assert status.dump()["startedAt"] == "2026-11-22T12:00:00Z"
    assert BackupStatus.model_validate(status.dump()) == status


def test_a_time_of_another_zone_is_written_in_utc() -> None:
    vienna = NOON.astimezone(ZoneInfo("Europe/Vienna"))
    assert format_time(vienna) == "2026-11-22T12:00:00Z"


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        BackupStatus.model_validate({"startedAt": "2026-11-22T12:00:00"})


@pytest.mark.parametrize("phase", list(BackupPhase))
def test_the_last_four_phases_of_a_backup_are_final(phase: BackupPhase) -> None:
    assert phase.final == (phase in {"Completed", "PartiallyFailed", "Failed", "Gone"})


@pytest.mark.parametrize("phase", list(RestorePhase))
def test_the_last_three_phases_of_a_restore_are_final(phase: RestorePhase) -> None:
    assert phase.final == (phase in {"Completed", "Failed", "Refused"})


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=3660)))
def test_a_duration_is_read_as_it_was_written(value: timedelta) -> None:
    whole = timedelta(seconds=int(value.total_seconds()))
    assert parse_duration(format_duration(value)) == whole


@pytest.mark.parametrize("text", ["", "1", "h", "1h1d", "-1s", "1.5h", "1h\n", "٣s", "3661d"])
def test_what_is_not_a_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration|is longer than"):
        parse_duration(text)


def ready(*conditions: Condition, ok: bool, now: datetime) -> tuple[Condition, ...]:
    return with_condition(
        conditions, type="Ready", ok=ok, reason="R", message="M.", generation=2, now=now
    )


def test_an_unchanged_verdict_is_an_unchanged_value() -> None:
    first = ready(ok=True, now=NOON)
    assert ready(*first, ok=True, now=NOON + timedelta(hours=1)) == first


def test_the_transition_time_moves_with_the_status_and_others_stay() -> None:
    other = Condition(
        type="Fresh", status="True", reason="R", message="M.", last_transition_time=NOON
    )
    before = (*ready(ok=True, now=NOON), other)

    after = ready(*before, ok=False, now=NOON + timedelta(hours=1))

    assert [c.type for c in after] == ["Ready", "Fresh"]
    assert after[0].status == "False"
    assert after[0].last_transition_time == NOON + timedelta(hours=1)
    assert after[1] is other


@pytest.mark.parametrize(
    ("form", "value", "read"),
    [
        (Size, 0, 0),
        (Size, "0", 0),
        (Size, 67108864, 1 << 26),
        (Size, "64Mi", 1 << 26),
        (Bytes, 20000000, "20000000"),
        (Bytes, "20M", "20M"),
    ],
)
def test_a_quantity_may_be_written_as_a_number(form: Any, value: object, read: object) -> None:
    assert TypeAdapter(form).validate_python(value) == read


@pytest.mark.parametrize(
    ("form", "value"), [(Size, -1), (Bytes, 0), (Bytes, True), (Bytes, 10**12)]
)
def test_a_number_that_is_no_quantity_is_refused(form: Any, value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(form).validate_python(value)
