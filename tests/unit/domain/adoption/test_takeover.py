"""What is adopted of another tool's snapshots, how it is labelled, and what is reported."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from tests.unit.cli.running import FOREIGN, foreign

from backstay.domain import labels, naming
from backstay.domain.adoption.other_labels import labels_from
from backstay.domain.adoption.takeover import Seen, backup_name, patch_labels, plan, report
from backstay.domain.objects import Obj, name

VIENNA = ZoneInfo("Europe/Vienna")
P = labels.PREFIX
NIGHT = "2026-11-21T23:32:00Z"


def seen(*snapshots: Obj, **values: Any) -> Seen:
    defaults: dict[str, Any] = {
        "policy": "shop",
        "prefix": FOREIGN,
        "claims": frozenset({"data"}),
        "rivals": {},
        "snapshots": snapshots,
    }
    return Seen(**defaults | values)


def ours(snapshot: Obj, policy: str = "shop", **notes: str) -> Obj:
    """The snapshot as it is once it is adopted."""
    values, written = patch_labels(snapshot, seen(policy=policy), VIENNA)
    metadata = snapshot["metadata"]
    metadata["labels"] |= values
    metadata["annotations"] = written | {P + k: v for k, v in notes.items()}
    return snapshot


def test_labels_are_copied_with_our_prefix_and_theirs_are_not_asked_for() -> None:
    given = foreign(
        "one", NIGHT, daily="2026-11-22", monthly="2026-11", delete_after="2026-12-01",
        retain="days", retain_days="30", pod="backup-1", hold="true",
    )  # fmt: skip
    values, notes = patch_labels(given, seen(), VIENNA)
    assert values == {
        P + "pvc": "data",
        P + "policy": "shop",
        P + "type": "cronjob",
        P + "retain": "days",
        P + "retain-days": "30",
        P + "daily": "2026-11-22",
        P + "monthly": "2026-11",
        P + "delete-after": "2026-12-01",
        P + "hold": "true",
        P + "result": "good",
    }
    assert notes == {P + "adopted-from": "backup-ns.sh", P + "taken-at": NIGHT}


def test_a_claim_that_only_looks_shortened_is_reported_in_full() -> None:
    claim = "c" * 52 + "-" + "0123456789"
    values, notes = patch_labels(foreign("one", NIGHT, claim=claim), seen(), VIENNA)
    assert values[labels.PVC] == naming.label_value(claim) != claim
    assert notes[labels.PVC] == claim


def test_a_hold_of_ours_from_before_the_move_stands() -> None:
    given = foreign("one", NIGHT)
    given["metadata"]["labels"][labels.HOLD] = "true"
    found = plan(seen(given))
    assert [name(s) for s in found.adopt] == ["one"]
    assert labels_from(given, FOREIGN, VIENNA)[labels.HOLD] == "true"


def test_only_complete_snapshots_of_this_policys_claims_are_adopted_oldest_first() -> None:
    going = foreign("going", NIGHT)
    going["metadata"]["deletionTimestamp"] = NIGHT
    found = plan(
        seen(
            foreign("new", NIGHT),
            foreign("old", "2026-11-01T23:32:00Z"),
            foreign("logs", NIGHT, claim="logs"),
            foreign("bare", NIGHT, retain=None),
            going,
        )
    )
    assert [name(s) for s in found.adopt] == ["old", "new"]
    assert found.of_no_claim == {"logs": 1}


def test_what_is_ours_is_never_adopted_again() -> None:
    edited = ours(foreign("edited", NIGHT))
    edited["metadata"]["labels"][labels.POLICY] = "by-hand"
    bare = ours(foreign("bare", NIGHT))
    del bare["metadata"]["labels"][labels.POLICY]
    found = plan(seen(ours(foreign("mine", NIGHT), run="uid"), edited, bare))
    assert found.is_idle
    assert (found.adopted, found.elsewhere) == (1, {"by-hand": 1})


def test_a_snapshot_gets_its_record_when_it_is_ready_and_never_twice() -> None:
    unready = ours(foreign("unready", NIGHT, ready=False))
    ready = ours(foreign("ready", NIGHT))
    done = ours(foreign("done", NIGHT), run="uid")
    found = plan(seen(unready, ready, done))
    assert [name(s) for s in found.record] == ["ready"]


def test_the_record_is_named_by_policy_time_and_snapshot() -> None:
    given = foreign("one", NIGHT)
    given["metadata"]["uid"] = "1f0c5a7e-0000-4000-8000-000000000001"
    assert backup_name(given, seen(policy="shop"), VIENNA) == "shop-20261122-0032-1f0c5"


def test_an_older_policy_of_the_same_claim_has_it_and_the_other_says_so() -> None:
    given = seen(foreign("one", NIGHT), foreign("two", NIGHT), rivals={"data": "first"})
    found = plan(given)
    assert found.is_idle
    reported = report(found, given)
    assert (reported.ok, reported.reason) == (False, "AdoptedByAnother")
    assert "2 of policy first of the same claims" in reported.message
    # and it says the same once that policy has them
    after = seen(ours(foreign("one", NIGHT), "first"), ours(foreign("two", NIGHT), "first"))
    assert report(plan(after), after) == reported


def test_what_was_adopted_and_what_was_not_is_reported() -> None:
    given = seen(
        foreign("one", NIGHT), ours(foreign("two", NIGHT)), foreign("logs", NIGHT, claim="logs")
    )
    reported = report(plan(given), given, creators=["CronJob shop/backup"])
    assert (reported.ok, reported.reason) == (True, "Adopted")
    assert reported.message == (
        "2 snapshots of backup-ns.sh adopted; 1 of claim logs not adopted: the claim is none of "
        "this policy's; name it in spec.source.claims.names of a policy; CronJob shop/backup "
        "still makes snapshots with backup-ns.sh: they are adopted as they come; remove it when "
        "this policy makes its own"
    )


def test_what_carries_labels_of_ours_by_hand_before_the_move_is_reported_by_name() -> None:
    dated, held = foreign("dated", NIGHT), foreign("held", NIGHT)
    dated["metadata"]["labels"][labels.DELETE_AFTER] = "2026-12-01"
    held["metadata"]["labels"][labels.HOLD] = "true"
    others = foreign("others", NIGHT, claim="logs")
    others["metadata"]["labels"][labels.RETAIN] = "days"
    given = seen(dated, held, others)
    found = plan(given)
    assert [name(s) for s in found.adopt] == ["held"]
    assert (
        "1 not adopted: they carry labels backstay.dev/ of no policy (dated); take those off, all "
        "but backstay.dev/hold"
    ) in report(found, given).message
