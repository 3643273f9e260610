"""When a repository is listed, and what its list comes to."""

from __future__ import annotations

import warnings
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.repository_looks import answered, condition, known, seen, spec
from tests.support.stored_points import NOW, daily, foreign, hashed, run, stored

from backstay.domain.jobs import JobSeen
from backstay.domain.stores.repository.chore import condition_of
from backstay.domain.stores.repository.listing import Snapshot, to_line
from backstay.domain.stores.repository.listing_chore import Listing
from backstay.domain.stores.repository.work import Seen

CHORE = Listing()
ENDED = JobSeen(name="job", exists=True, started=True, succeeded=True)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
READ_ONLY = spec(access="ReadOnly", initialise="Never")


def look(*snapshots: Snapshot, **values: Any) -> Seen:
    """A look at a Job that has listed these, a day after the list before."""
    status = {"listed_at": NOW - DAY, "job": "job", "work": "List", "work_began": NOW}
    whole = known(**status | values.pop("status", {}))
    lines = [to_line(one) for one in snapshots]
    given: dict[str, Any] = {
        "job": ENDED,
        "lines": lines,
        "result": answered("Listed", snapshots=len(lines), damaged=[], locks=[]),
        "namespace_uid": "team-uid",
    }
    return seen(status=whole, **given | values)


def said(found: Seen) -> tuple[str, str, str]:
    listed = condition_of(CHORE.ended(found), "Listed")
    assert listed is not None
    return listed.status, listed.reason, listed.message


@pytest.mark.parametrize(
    ("values", "at"),
    [
        ({"status": {"listed_at": None}}, NOW),
        ({"status": {"listed_at": NOW - HOUR}}, NOW + 23 * HOUR),
        ({"status": {"listed_at": NOW - HOUR}, "spec": READ_ONLY}, NOW),
        ({"status": {"listed_at": NOW + DAY}}, NOW),
        ({"asked": {"list": "now"}}, NOW),
        ({"asked": {"rebuild": "now"}}, NOW),
        ({"asked": {"list": "now"}, "status": {"obeyed": {"list": "now"}}}, NOW),
        ({"status": {"listed_at": None, "retry_at": {"List": NOW + HOUR}}}, NOW + HOUR),
        ({"status": {"listed_at": None, "retry_at": {"List": NOW + 9 * DAY}}}, NOW),
        ({"status": {"ready": condition("False", "Unreachable")}}, None),
    ],
)
def test_it_is_listed_once_a_day_and_when_a_person_asks(values: dict[str, Any], at: Any) -> None:
    assert CHORE.due(look(**values)) == at


def test_a_list_says_what_is_there_and_is_no_surprise_to_the_wire() -> None:
    old = NOW - 9 * DAY
    snapshots = [*stored("day1"), *stored("day2"), foreign(1), stored("killed", old)[0]]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        status = CHORE.ended(look(*snapshots, runs=daily(2)))
        status.dump()

    assert (status.snapshots, status.points, status.foreign) == (6, 2, 1)
    assert status.leftovers == (hashed("data killed"),)
    assert [o.host for o in status.others] == ["volsync"]
    assert status.listed_at == NOW
    assert said(look(*snapshots, runs=daily(2))) == (
        "True",
        "Listed",
        "2 points, 1 snapshots of others",
    )


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"result": None, "lines": []}, "ended without an answer"),
        ({"lines": []}, "0 of 2 lines"),
        ({"job": replace(ENDED, ours=False)}, "made by somebody else"),
        ({"result": answered("Unreachable", ok=False, message="no")}, "Unreachable: no"),
    ],
)
def test_what_is_no_whole_list_changes_nothing_and_is_tried_again(
    values: dict[str, Any], why: str
) -> None:
    found = look(*stored("day1"), runs=daily(1), **values)

    status = CHORE.ended(found)
    assert said(found)[:2] == ("False", "NotListed")
    assert why in said(found)[2]
    assert (status.listed_at, status.points) == (NOW - DAY, None)
    assert status.retry_at["List"] > NOW
    assert (CHORE.outcome(found).shown, CHORE.outcome(found).imports) == ((), ())


def test_unknown_points_become_backups_only_where_that_is_meant() -> None:
    def names(**values: Any) -> list[str]:
        found = look(*stored("lost"), **values)
        return [body["metadata"]["name"] for body, _ in CHORE.outcome(found).imports]

    assert names() == []
    assert names(status={"listed_at": None}) == ["lost"]
    assert names(status={"listed_at": None}, namespace_uid="another") == []
    assert names(asked={"rebuild": "now"}, namespace_uid="another") == ["lost"]
    assert names(spec=READ_ONLY, namespace="elsewhere") == ["lost"]

    status, reason, message = said(look(*stored("lost")))
    assert (status, reason) == ("True", "UnknownPoints")
    assert "backstay.dev/rebuild" in message


def test_records_that_do_not_count_are_named_with_the_reason() -> None:
    forged = stored("forged")[1]

    status, reason, message = said(look(forged, *stored("day1"), runs=daily(1)))

    assert (status, reason) == ("True", "RecordsRefused")
    assert f"1 records that do not count ({forged.id[:8]}: its data" in message


def test_what_a_person_asked_for_is_obeyed_once_whatever_came_of_it() -> None:
    asked = {"list": "now", "rebuild": "please", "check": "not of this"}
    obeyed = {"list": "now", "rebuild": "please"}

    assert CHORE.ended(look(asked=asked)).obeyed == obeyed
    assert CHORE.ended(look(asked=asked, result=None)).obeyed == obeyed


def test_points_are_missing_in_the_repository_that_they_are_of() -> None:
    other = run("other", NOW - DAY, id="e" * 64)

    shown = CHORE.outcome(look(runs=[*daily(1), other])).shown

    assert [r.name for r, _ in shown] == ["day1"]
