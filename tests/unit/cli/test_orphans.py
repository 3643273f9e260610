"""Which contents are orphans, and what is reported of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.builders import SHA, SLOT, content, record, snapshot
from tests.unit.cli.running import Cli

from backstay.domain import labels
from backstay.domain.objects import Obj
from backstay.domain.records.record import DumpRecord
from backstay.domain.stores.snapshots.orphans import Orphan, orphans

TODAY = "2026-11-22T00:32:00Z"
THERE = {"team": "uid-team"}
DUMP = DumpRecord("shop", "postgres", "/data/shop.dump", "shop.dump", SHA, 2048, 999, 998)


def mine(name: str = "one", **notes: str) -> Obj:
    """A content of ours as it stays behind."""
    of = snapshot(name, TODAY)
    made = content(of, policy="Retain", **{"record": record(dumps=(DUMP,)), **notes})
    made["metadata"]["labels"] |= of["metadata"]["labels"]
    made["status"]["creationTime"] = 1_795_307_520_123_456_789
    return made


def found(
    *contents: Obj, snapshots: tuple[Obj, ...] = (), there: dict[str, str] | None = None
) -> list[Orphan]:
    return orphans(contents, snapshots, THERE if there is None else there)


def test_a_content_whose_snapshot_is_gone_is_reported_with_its_dump() -> None:
    (one,) = found(mine(**{"taken-at": "2026-11-22T00:32:05Z"}))
    assert (one.content, one.namespace, one.snapshot) == ("content-one", "team", "one")
    assert (one.policy, one.claim, one.backup) == ("shop", "data", "b")
    assert one.taken == datetime(2026, 11, 22, 0, 32, 5, tzinfo=UTC)
    assert (one.driver, one.handle) == ("csi.example", "handle-one")
    assert one.dumps == (DUMP,)
    assert (one.why, one.problem) == ("snapshot one is gone", "")


def test_a_content_with_its_snapshot_is_none() -> None:
    assert found(mine(), snapshots=(snapshot("one", TODAY),)) == []


def test_another_snapshot_of_that_name_is_not_its_own() -> None:
    (one,) = found(mine(), snapshots=(snapshot("one", TODAY, uid="uid-new"),))
    assert one.why == "snapshot one is another one of that name"


def test_a_namespace_that_is_gone_or_new_is_reported() -> None:
    assert found(mine(), there={})[0].why == "namespace team is gone"
    assert found(mine(), there={"team": "uid-2"})[0].why == (
        "namespace team was deleted and made again"
    )


DATE = "2026-11-20"
SWEPT = {"swept": f"uid-one.{DATE}"}


def dated(*, date: str | None = DATE, hold: str | None = None, **notes: str) -> Obj:
    made = mine(**notes)
    carried = {labels.DELETE_AFTER: date, labels.HOLD: hold}
    made["metadata"]["labels"] |= {k: v for k, v in carried.items() if v is not None}
    return made


def test_what_a_sweep_is_removing_is_none() -> None:
    assert found(dated(**SWEPT)) == []
    assert found(dated(hold="false", **SWEPT)) == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (dated(), f"; it was to go after {DATE}, but nothing proves that a sweep took it"),
        (dated(swept=f"uid-other.{DATE}"), f"; it was to go after {DATE}, but nothing proves"),
        (dated(sweep="uid-one", hold="true"), f"; it was to go after {DATE}, but nothing proves"),
        (mine(sweep="uid-one"), "; a sweep was about to begin, but nothing proves that"),
        (dated(hold="yes", **SWEPT), "; a sweep took the snapshot, but the content is held since"),
        (dated(date=None, **SWEPT), "; a sweep took the snapshot, but delete-after was changed"),
        (dated(date="2027-01-01", **SWEPT), "; a sweep took the snapshot, but delete-after was"),
    ],
)
def test_an_orphan_of_which_a_sweep_is_not_proven_or_not_meant_any_more_says_so(
    content: Obj, why: str
) -> None:
    (one,) = found(content)
    assert one.why.startswith(f"snapshot one is gone{why}")


def test_contents_of_others_and_those_not_bound_yet_are_none() -> None:
    foreign = mine()
    foreign["metadata"]["labels"] = {"team": "web"}
    unbound = mine()
    del unbound["spec"]["volumeSnapshotRef"]["uid"]
    assert found(foreign, unbound) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "no record"),
        ("{", "no JSON"),
        ('{"slot": "x"}', "record.slot"),
        ('{"slot": "0001-01-01T00:00:00+14:00"}', "record.slot"),
        ("[]", "record"),
    ],
)
def test_a_record_that_cannot_be_read_hides_no_orphan(text: str | None, problem: str) -> None:
    lost = mine()
    if text is None:
        del lost["metadata"]["annotations"][labels.RECORD]
    else:
        lost["metadata"]["annotations"][labels.RECORD] = text
    (one,) = found(lost)
    assert (one.policy, one.claim, one.dumps) == ("shop", "data", ())
    assert problem in one.problem


@pytest.mark.parametrize("created", [None, 0, 1_795_307_520_123_456_789, 10**40])
def test_the_slot_stands_for_a_moment_that_is_not_on_record_whatever_the_driver_says(
    created: Any,
) -> None:
    lost = mine()
    lost["status"]["creationTime"] = created
    assert found(lost)[0].taken == SLOT


def test_a_content_without_status_is_reported() -> None:
    lost = mine()
    del lost["status"]
    (one,) = found(lost)
    assert (one.handle, one.taken) == ("", SLOT)


def test_one_that_is_being_deleted_is_reported_as_such() -> None:
    lost = mine()
    lost["metadata"]["deletionTimestamp"] = TODAY
    assert found(lost)[0].why == "snapshot one is gone, and it is being deleted"


@pytest.mark.parametrize(
    ("result", "why"),
    [
        ("good", "snapshot one is gone"),
        ("pending", "snapshot one is gone; its run ended before it was known to be ready"),
        ("failed", "snapshot one is gone; its run failed"),
    ],
)
def test_what_a_run_left_is_reported_with_the_outcome_of_the_run(result: str, why: str) -> None:
    left = mine()
    left["metadata"]["labels"] |= {labels.RESULT: result}

    (one,) = found(left)

    assert (one.result, one.why) == (result, why)
    assert one.dumps == (DUMP,)


def test_what_lost_its_snapshot_before_it_was_labelled_is_found_by_the_name_of_that() -> None:
    bare = content(snapshot("data-pg-0-20261122-0032-df8e3-1", TODAY))
    others = [content(snapshot(n, TODAY)) for n in ("data-20261122", "by-hand", "a-1-2-df8e3-1")]

    (one,) = found(bare, *others)

    assert (one.result, one.policy, one.claim) == ("", "", "")
    assert one.why == (
        "snapshot data-pg-0-20261122-0032-df8e3-1 is gone; it was never labelled: by its name a "
        "run of Backstay's made it"
    )
    assert found(bare, snapshots=(snapshot("data-pg-0-20261122-0032-df8e3-1", TODAY),)) == []


def test_a_content_that_is_about_to_be_lost_is_reported_while_its_snapshot_is_there() -> None:
    there = (snapshot("one", TODAY),)
    going, exposed, swept = mine(), mine(), mine(swept="uid-one.2026-11-20")
    swept["metadata"]["labels"] = {**swept["metadata"]["labels"], labels.DELETE_AFTER: "2026-11-20"}
    going["metadata"]["deletionTimestamp"] = TODAY
    exposed["spec"]["deletionPolicy"] = "Delete"
    swept["spec"]["deletionPolicy"] = "Delete"

    assert found(going, snapshots=there)[0].why == "snapshot one is there, and it is being deleted"
    assert found(exposed, snapshots=there)[0].why == (
        "its deletionPolicy is Delete: its disk snapshot goes with snapshot one"
    )
    assert found(swept, snapshots=there) == []
    exposed["metadata"]["labels"] |= {labels.RESULT: "failed"}
    assert found(exposed, snapshots=there) == [], "it is as its class has it"


def test_both_a_namespace_and_all_of_them_are_refused(cli: Cli) -> None:
    ran = cli.run("orphans", "-A", "-n", "team")
    assert ran.code == 2
    assert "either -A or -n" in ran.err
