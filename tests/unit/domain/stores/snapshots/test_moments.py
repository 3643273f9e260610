"""When a point was taken, whatever a driver, a node or a label says."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.builders import record
from tests.support.builders import snapshot as built

from backstay.domain.objects import Obj
from backstay.domain.stores.snapshots.carriers import point_of
from backstay.domain.stores.snapshots.moments import moment_of, moment_taken

VIENNA = ZoneInfo("Europe/Vienna")
MADE = "2026-11-30T02:51:00Z"
SLOT = datetime(2026, 11, 22, 0, 32, tzinfo=UTC)
"""Of builders.record."""


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def snapshot(*, by_hand: bool = False, notes: dict[str, str] | None = None, **extra: str) -> Obj:
    found = built("one", MADE, extra=extra, notes=notes or {})
    if by_hand:
        found["spec"]["source"] = {"volumeSnapshotContentName": "content-one-rebound"}
    return found


DRIVER_TIMES = [
    "1970-01-01T00:00:00Z",
    "1754-08-30T22:43:41Z",
    "2024-06-01T08:00:00Z",
    "2031-01-01T00:00:00Z",
    MADE,
    None,
]


@pytest.mark.parametrize("reported", DRIVER_TIMES)
@pytest.mark.parametrize(
    ("given_", "moment"),
    [
        (snapshot(), at(MADE)),
        (snapshot(notes={"record": record()}), at(MADE)),
        (snapshot(notes={"taken-at": "2026-11-22T00:33:07Z"}), at("2026-11-22T00:33:07Z")),
        (snapshot(by_hand=True, notes={"record": record()}), SLOT),
        (
            snapshot(by_hand=True, notes={"record": record(), "taken-at": "2026-11-22T00:33:07Z"}),
            at("2026-11-22T00:33:07Z"),
        ),
        (snapshot(by_hand=True), at(MADE)),
        (snapshot(by_hand=True, notes={"record": "{", "taken-at": "soon"}), at(MADE)),
    ],
    ids=["made", "record", "taken-at", "rebound", "rebound, taken-at", "nothing", "malformed"],
)
def test_what_a_driver_says_changes_nothing(
    given_: Obj, moment: datetime, reported: str | None
) -> None:
    given_["status"]["creationTime"] = reported
    assert moment_of(given_) == moment
    assert point_of(given_).taken == moment


@pytest.mark.parametrize(
    ("carried", "day"),
    [
        ({"monthly": "2026-01"}, "2026-01-01"),
        ({"daily": "2026-03-05", "monthly": "2026-03"}, "2026-03-05"),
        ({"weekly": "2026-w05"}, "2026-01-26"),
        ({"weekly": "w05"}, "2026-01-26"),
        # a week of two months: the day that is in both
        ({"weekly": "w05", "monthly": "2026-02"}, "2026-02-01"),
        ({"yearly": "2024"}, "2024-01-01"),
        ({"weekly": "2024-w53"}, None),  # there is none
        ({"hourly": "2026-03-05T07Z"}, "2026-03-05"),
        # of now, of yesterday (in another zone), of the future, malformed: no proof
        ({"monthly": "2026-11", "daily": "2026-01-01"}, None),
        ({"daily": "2026-11-29"}, None),
        ({"daily": "2027-01-05"}, None),
        ({"daily": "soon", "weekly": "44", "monthly": "2026-13"}, None),
        ({}, None),
    ],
)
def test_labels_report_the_period_of_what_was_bound_again_without_a_record(
    carried: dict[str, Any], day: str | None
) -> None:
    found = moment_of(snapshot(**carried), VIENNA)
    assert found is not None
    if day is None:
        assert found == at(MADE)
    else:
        assert found.astimezone(VIENNA).date().isoformat() == day


def test_labels_of_another_tool_are_read_under_its_prefix() -> None:
    theirs = snapshot(by_hand=True)
    theirs["metadata"]["labels"] = {"backup-ns.sh/monthly": "2026-01"}
    assert moment_of(theirs, VIENNA, prefix="backup-ns.sh/") == at("2026-01-01T11:00:00Z")
    assert moment_of(theirs, VIENNA) == at(MADE)
    # a person may have labelled what that tool took just now
    theirs["spec"]["source"] = {"persistentVolumeClaimName": "data"}
    assert moment_of(theirs, VIENNA, prefix="backup-ns.sh/") == at(MADE)


def test_a_slot_of_the_future_is_not_believed() -> None:
    late = json.loads(record()) | {"slot": "2031-01-01T00:00:00Z"}
    assert moment_of(snapshot(by_hand=True, notes={"record": json.dumps(late)})) == at(MADE)


def test_a_manifest_that_was_applied_again_is_no_point_of_the_run_that_it_names() -> None:
    # its disk holds what the volume held when it was applied, not what the run verified
    again = snapshot(notes={"snapshot-uid": "uid-of-the-first"})
    assert point_of(again).result is None
    bound = snapshot(by_hand=True, notes={"snapshot-uid": "uid-of-the-first"})
    assert point_of(bound).result == "good"
    assert point_of(snapshot(notes={"snapshot-uid": "uid-one"})).result == "good"


REQUESTED = datetime(2026, 11, 22, 0, 32, tzinfo=UTC)
SPANS = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=2))


@given(
    reported=st.none() | st.datetimes(timezones=st.just(UTC)),
    waited=SPANS,
)
def test_a_snapshot_lies_between_its_request_and_now(
    reported: datetime | None, waited: timedelta
) -> None:
    now = REQUESTED + waited
    taken = moment_taken(reported, requested=REQUESTED, now=now)
    slack = timedelta(seconds=60)
    assert REQUESTED - slack <= taken <= now + slack
    if reported is not None and REQUESTED <= reported <= now:
        assert taken == reported


@given(
    reported=st.sampled_from(DRIVER_TIMES),
    carried=st.dictionaries(
        st.sampled_from(["hourly", "daily", "weekly", "monthly", "yearly"]),
        st.sampled_from(["2026-11-30", "2020-01-01", "w01", "w53", "2026-11", "1999", "x", ""]),
    ),
    notes=st.dictionaries(st.sampled_from(["record"]), st.sampled_from([record(), "{", ""])),
    by_hand=st.booleans(),
)
def test_without_a_written_moment_none_is_later_than_the_creation(
    reported: Any, carried: dict[str, str], notes: dict[str, str], by_hand: bool
) -> None:
    found = snapshot(by_hand=by_hand, notes=notes, **carried)
    found["status"]["creationTime"] = reported
    moment = moment_of(found, VIENNA)
    assert moment is not None
    assert moment <= at(MADE)
