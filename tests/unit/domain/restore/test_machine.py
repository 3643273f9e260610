"""A restore of claims from snapshots: refused, or made claim by claim and verified."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.builders import NOW

from backstay.api.common import changed
from backstay.api.restore_status import RestoreItem, RestorePhase, RestoreStatus, RestoreTarget
from backstay.domain import labels
from backstay.domain.errors import UserError
from backstay.domain.objects import Obj
from backstay.domain.restore import items, machine
from backstay.domain.restore.items import Step
from backstay.domain.restore.leftovers import Fate
from backstay.domain.restore.machine import Action
from backstay.domain.restore.new_claim import fate_at_failure, look_at
from backstay.domain.restore.sights import ItemSeen, StoreSeen
from backstay.domain.stores.snapshots.restore import Verification, fill_of, lost

REQUEST = "uid-of-the-request"


def entry(claim: str, **values: Any) -> RestoreItem:
    defaults: dict[str, Any] = {
        "source": claim,
        "store": "Snapshot",
        "ref": f"{claim}-1",
        "uid": f"uid-{claim}-1",
        "target": RestoreTarget.NEW_CLAIM,
        "claim": f"{claim}-new",
        "into": f"{claim}-new",
        "claimed_at": NOW,
    }
    return RestoreItem(**defaults | values)


DATA, LOGS = entry("data"), entry("logs")
REPORTED = RestoreStatus(
    phase=RestorePhase.RESTORING,
    backup="b",
    started_at=NOW,
    items=(DATA, LOGS),
    into="data-new +1",
)


@dataclass(frozen=True, slots=True)
class Look:
    """What the cluster has of one claim, its snapshot and its Pod."""

    verification: Verification
    claim_uid: str | None = None
    claim_ours: bool = False
    held: bool = True

    @property
    def claim(self) -> Obj | None:
        """The claim of the new name."""
        phase = "Bound" if self.verification.bound else "Pending"
        notes = {labels.RESTORE_REQUEST: REQUEST if self.claim_ours else "another"}
        claim: Obj = {"metadata": {"uid": self.claim_uid, "annotations": notes}}
        return {**claim, "status": {"phase": phase}} if self.claim_uid else None

    def seen(self, item: RestoreItem, waited: timedelta, *, may: bool) -> ItemSeen:
        """As the store and the target say it."""
        target = look_at(item, self.claim, REQUEST)
        point = StoreSeen(
            held=self.held,
            lost=lost(item.ref, self.verification),
            fill=fill_of(self.verification, waited, may_stay_unverified=may),
        )
        return ItemSeen(point, target)


NOTHING = Look(Verification(snapshot_there=True))


def but(look: Look, **values: Any) -> Look:
    """A look with something else in it."""
    own = {key: values.pop(key) for key in ("claim_uid", "claim_ours", "held") if key in values}
    return replace(look, verification=replace(look.verification, **values), **own)


def made(uid: str = "u-data") -> Look:
    return but(NOTHING, claim_uid=uid, claim_ours=True)


def verifying(uid: str = "u-data") -> Look:
    return but(made(uid), bound=True, pod_there=True)


def verified(uid: str = "u-data") -> Look:
    return but(verifying(uid), pod_done=True, pod_says="dump shop: sha256 as recorded")


def seen(status: RestoreStatus, **values: Any) -> items.Seen:
    return items.Seen(now=NOW, generation=2, status=status, **values)


def follow(status: RestoreStatus, *looks: Look, may: bool = False) -> machine.Decision:
    waited = NOW - (status.started_at or NOW)
    pairs = zip(status.items, looks, strict=True)
    return machine.decide(
        seen(status, items=[look.seen(item, waited, may=may) for item, look in pairs])
    )


def steps(decision: machine.Decision) -> list[tuple[Step, str]]:
    return [(a.step, decision.status.items[a.item].source) for a in decision.actions]


def ready(decision: machine.Decision) -> tuple[str, str, str]:
    (condition,) = decision.status.conditions
    assert condition.message == decision.status.message
    assert condition.observed_generation == decision.status.observed_generation == 2
    return condition.status, condition.reason, condition.message


def with_items(*those: RestoreItem, **values: Any) -> RestoreStatus:
    return changed(REPORTED, items=those, **values)


def test_a_request_that_cannot_be_done_is_refused_and_makes_nothing() -> None:
    refusal = UserError("BackupNotFound", "spec.from.backup: there is no Backup b")

    decision = machine.decide(seen(RestoreStatus(), refusal=refusal, planned=[DATA]))

    assert decision.status.phase is RestorePhase.REFUSED
    assert ready(decision) == ("False", "BackupNotFound", refusal.message)
    assert decision.status.completed_at == NOW
    assert (decision.actions, decision.after) == ((), None)


def test_every_snapshot_is_claimed_before_anything_is_made() -> None:
    decision = machine.decide(seen(RestoreStatus(), backup="b", planned=[DATA, LOGS]))

    status = decision.status
    assert steps(decision) == [(Step.HOLD, "data"), (Step.HOLD, "logs")]
    assert (status.phase, status.backup, status.started_at) == (RestorePhase.RESTORING, "b", NOW)
    assert (status.items, status.into) == ((DATA, LOGS), "data-new +1")
    assert ready(decision) == ("False", "Restoring", items.HOLDING)
    assert decision.after == machine.AT_ONCE


def test_nothing_is_made_before_the_points_of_all_are_held() -> None:
    unheld = but(NOTHING, held=False)

    decision = follow(REPORTED, NOTHING, unheld)

    assert steps(decision) == [(Step.HOLD, "logs")]
    assert steps(follow(REPORTED, unheld, made("u2"))) == [(Step.HOLD, "data"), (Step.FILL, "logs")]


def test_a_single_claim_is_shown_by_its_name() -> None:
    decision = machine.decide(seen(RestoreStatus(), backup="b", planned=[DATA]))

    assert decision.status.into == "data-new"


def test_claims_are_made_first_and_then_their_pods() -> None:
    first = follow(REPORTED, NOTHING, NOTHING)
    second = follow(first.status, made("u1"), made("u2"))

    assert steps(first) == [(Step.PREPARE, "data"), (Step.PREPARE, "logs")]
    assert first.after == machine.POLL
    assert steps(second) == [(Step.FILL, "data"), (Step.FILL, "logs")]
    assert [c.claim_uid for c in second.status.items] == ["u1", "u2"]
    assert second.status.phase is RestorePhase.RESTORING


def test_each_claim_goes_on_by_itself() -> None:
    decision = follow(REPORTED, verified("u1"), NOTHING)

    assert steps(decision) == [(Step.COMMIT, "data"), (Step.PREPARE, "logs")]
    assert decision.status.items[0].verified == "dump shop: sha256 as recorded"
    assert decision.status.phase is RestorePhase.RESTORING


def test_bound_claims_are_said_to_be_verified() -> None:
    decision = follow(REPORTED, verifying("u1"), verifying("u2"))

    assert decision.status.phase is RestorePhase.VERIFYING
    assert ready(decision) == ("False", "Verifying", "what was restored is being verified")
    assert (decision.actions, decision.after) == ((), machine.POLL)


def test_what_a_pod_waits_for_is_reported() -> None:
    stuck = but(made("u1"), pod_there=True, pod_says="0/2 nodes are available")

    decision = follow(REPORTED, stuck, verifying("u2"))

    assert ready(decision)[2] == "claim data-new: 0/2 nodes are available"
    assert decision.status.phase is RestorePhase.RESTORING


def test_a_restore_is_complete_one_round_after_its_last_verification() -> None:
    last = follow(REPORTED, verified("u1"), verified("u2"))
    end = follow(last.status, verified("u1"), verified("u2"))

    assert steps(last) == [(Step.COMMIT, "data"), (Step.COMMIT, "logs")]
    assert last.after == machine.AT_ONCE
    assert not last.status.phase.final
    assert end.status.phase is RestorePhase.COMPLETED
    assert ready(end) == (
        "True",
        "Completed",
        "claim data-new: dump shop: sha256 as recorded; claim logs-new: dump shop: sha256 as "
        "recorded",
    )
    assert (end.status.completed_at, end.after) == (NOW, None)
    assert steps(end) == [
        (Step.STOP, "data"),
        (Step.RELEASE, "data"),
        (Step.STOP, "logs"),
        (Step.RELEASE, "logs"),
    ]


def test_a_verified_claim_needs_its_pod_no_more() -> None:
    over = with_items(entry("data", claim_uid="u1", verified="mounted"), LOGS)
    gone = but(verifying("u1"), pod_there=False)

    assert steps(follow(over, gone, made("u2"))) == [(Step.FILL, "logs")]


def test_a_pod_that_says_nothing_has_mounted_the_claim() -> None:
    decision = follow(REPORTED, but(verified("u1"), pod_says=""), NOTHING)

    assert decision.status.items[0].verified == "mounted"


def test_a_pod_that_went_away_unheard_is_made_again() -> None:
    asked = with_items(entry("data", claim_uid="u1"), LOGS)

    decision = follow(asked, but(verifying("u1"), pod_there=False), verifying("u2"))

    assert steps(decision) == [(Step.FILL, "data")]


BEGUN = with_items(entry("data", claim_uid="u1"), LOGS)


@pytest.mark.parametrize(
    ("status", "data", "why"),
    [
        (
            REPORTED,
            but(made("u9"), claim_ours=False),
            "claim data-new: a claim of that name was made by somebody else",
        ),
        (BEGUN, NOTHING, "claim data-new: it was deleted while it was being restored"),
        (BEGUN, made("u9"), "claim data-new: it was deleted while it was being restored"),
        (
            REPORTED,
            but(NOTHING, snapshot_there=False),
            "claim data-new: VolumeSnapshot data-1 was deleted before the claim was bound",
        ),
        (
            BEGUN,
            but(made("u1"), snapshot_there=False),
            "claim data-new: VolumeSnapshot data-1 was deleted before the claim was bound",
        ),
        (
            BEGUN,
            but(verifying("u1"), pod_failed=True, pod_says="sha256 differs"),
            "claim data-new: verification failed: sha256 differs; or add Unverified to "
            "spec.acknowledge to restore what there is, as it is",
        ),
    ],
    ids=["foreign", "deleted", "recreated", "no snapshot", "snapshot lost", "not as recorded"],
)
def test_what_can_never_end_well_fails_the_restore(
    status: RestoreStatus, data: Look, why: str
) -> None:
    noted = follow(status, data, verifying("u2"))
    decision = follow(noted.status, data, verifying("u2"))

    assert (noted.actions, noted.after, ready(noted)[2]) == ((), machine.AT_ONCE, why)
    assert decision.status.phase is RestorePhase.FAILED
    assert ready(decision)[:2] == ("False", "Failed")
    assert ready(decision)[2].startswith(f"{why}; left to be looked at, then to be deleted: claim ")
    assert decision.after is None
    assert {s for s in steps(decision) if s[0] is Step.RELEASE} == {
        (Step.RELEASE, "data"),
        (Step.RELEASE, "logs"),
    }
    assert (Step.UNDO, "logs") in steps(decision), "a claim with a volume is the user's now"
    assert not {s for s, _ in steps(decision)} & {Step.PREPARE, Step.FILL}


def test_a_snapshot_may_go_once_its_claim_is_bound() -> None:
    decision = follow(BEGUN, but(verifying("u1"), snapshot_there=False), verifying("u2"))

    assert not decision.status.phase.final


FAILED = but(verifying("u1"), pod_failed=True, pod_says="sha256 differs")


def test_a_pod_that_failed_goes_once_what_it_said_is_written_down() -> None:
    noted = follow(BEGUN, FAILED, verifying("u2"))
    decision = follow(noted.status, FAILED, verifying("u2"))
    # The process dies before the status is written; what it did leads to the same end.
    again = follow(noted.status, but(FAILED, pod_there=False, pod_failed=False), verified("u2"))

    assert noted.actions == ()
    assert (Step.STOP, "data") in steps(decision)
    assert again.status == decision.status


@pytest.mark.parametrize(
    ("look", "fate"),
    [
        (made("u1"), Fate.DELETE),
        (but(made("u1"), pod_there=True), Fate.DELETE),
        (verifying("u1"), Fate.HAND_OVER),
        (NOTHING, Fate.KEEP),
        (but(made("u9"), claim_ours=False), Fate.KEEP),
    ],
    ids=["not bound", "not scheduled", "bound", "none", "somebody else's"],
)
def test_a_request_that_fails_leaves_no_claim_without_a_volume(look: Look, fate: Fate) -> None:
    status = with_items(entry("data", claim_uid="u1"), entry("logs", failed="it was deleted"))

    decision = follow(status, look, NOTHING)

    assert (Step.UNDO, "data") in steps(decision)
    assert fate_at_failure(look.claim, REQUEST) is fate


def test_a_verified_claim_outlives_its_request_whatever_happens() -> None:
    status = with_items(
        entry("data", claim_uid="u1", verified="mounted"),
        entry("logs", failed="it was deleted"),
    )

    decision = follow(status, verifying("u1"), NOTHING)

    assert (Step.UNDO, "data") not in steps(decision)
    assert (Step.UNDO, "logs") in steps(decision)


@pytest.mark.parametrize("phase", [p for p in RestorePhase if p.final])
def test_a_final_phase_is_never_left(phase: RestorePhase) -> None:
    over = changed(REPORTED, phase=phase)

    assert follow(over, NOTHING, NOTHING) == machine.Decision(over)


def test_an_unchanged_world_changes_no_status() -> None:
    first = follow(REPORTED, verifying("u1"), verifying("u2"))

    assert follow(first.status, verifying("u1"), verifying("u2")).status == first.status


@pytest.mark.parametrize("kill", range(8))
def test_a_restore_whose_process_dies_after_any_write_ends_the_same(kill: int) -> None:
    """The world: what was created; each round's writes are numbered, and one is the last."""
    status, world, writes = RestoreStatus(), set[str](), 0
    for _ in range(30):
        decision = machine.decide(
            seen(status, backup="b", planned=[DATA])
            if status.phase is RestorePhase.PENDING
            else seen(status, items=[_look(world).seen(DATA, timedelta(0), may=False)])
        )
        steps_and_status: list[Action | RestoreStatus] = [*decision.actions, decision.status]
        for write in steps_and_status:
            if isinstance(write, Action):
                _apply(world, write)
            else:
                status = RestoreStatus.model_validate(write.dump())
            writes += 1
            if writes == kill:
                break
        if status.phase.final:
            break
    assert status.phase is RestorePhase.COMPLETED
    assert world == {"claim", "handed over"}


def _look(world: Iterable[str]) -> Look:
    there = set(world)
    return but(
        NOTHING,
        held="hold" in there,
        claim_uid="u1" if "claim" in there else None,
        claim_ours="claim" in there,
        bound="claim" in there,
        pod_there="pod" in there,
        pod_done="pod" in there,
        pod_says="ok",
    )


def _apply(world: set[str], action: Action) -> None:
    match action.step:
        case Step.HOLD:
            world.add("hold")
        case Step.RELEASE:
            world.discard("hold")
        case Step.PREPARE:
            assert "hold" in world
            world.add("claim")
        case Step.FILL:
            world.add("pod")
        case Step.STOP:
            world.discard("pod")
        case Step.COMMIT:
            world.add("handed over")
        case Step.UNDO | Step.DISCARD:
            raise AssertionError("a restore that goes well deletes nothing")
