"""A restore: refused, or made claim by claim and verified."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from tests.support.builders import NOW

from backstay.api.common import changed
from backstay.api.restore import RestoredClaim, RestorePhase, RestoreStatus
from backstay.domain.errors import UserError
from backstay.domain.restore import claims as restore
from backstay.domain.restore.claims import Action, ClaimSeen, Step


def entry(claim: str, **values: Any) -> RestoredClaim:
    defaults = {
        "claim": claim,
        "new_claim": f"{claim}-new",
        "snapshot": f"{claim}-1",
        "snapshot_uid": f"uid-{claim}-1",
    }
    return RestoredClaim(**defaults | values)


DATA, LOGS = entry("data"), entry("logs")
REPORTED = RestoreStatus(
    phase=RestorePhase.RESTORING,
    backup="b",
    started_at=NOW,
    claims=(DATA, LOGS),
    into="data-new +1",
)
NOTHING = ClaimSeen(
    snapshot_there=True, claim_uid=None, claim_ours=False, bound=False, pod_there=False
)


def made(uid: str = "u-data") -> ClaimSeen:
    return replace(NOTHING, claim_uid=uid, claim_ours=True)


def verifying(uid: str = "u-data") -> ClaimSeen:
    return replace(made(uid), bound=True, pod_there=True)


def verified(uid: str = "u-data") -> ClaimSeen:
    return replace(verifying(uid), pod_done=True, pod_says="dump shop: sha256 as recorded")


def seen(status: RestoreStatus, **values: Any) -> restore.Seen:
    return restore.Seen(now=NOW, generation=2, status=status, **values)


def follow(status: RestoreStatus, data: ClaimSeen, logs: ClaimSeen) -> restore.Decision:
    return restore.decide(seen(status, claims={"data": data, "logs": logs}))


def steps(decision: restore.Decision) -> list[tuple[Step, str]]:
    return [(a.step, a.claim) for a in decision.actions]


def ready(decision: restore.Decision) -> tuple[str, str, str]:
    (condition,) = decision.status.conditions
    assert condition.message == decision.status.message
    assert condition.observed_generation == decision.status.observed_generation == 2
    return condition.status, condition.reason, condition.message


def with_claims(*claims: RestoredClaim, **values: Any) -> RestoreStatus:
    return changed(REPORTED, claims=claims, **values)


def test_a_request_that_cannot_be_done_is_refused_and_makes_nothing() -> None:
    refusal = UserError("BackupNotFound", "spec.from.backup: there is no Backup b")

    decision = restore.decide(seen(RestoreStatus(), refusal=refusal, sources=[DATA]))

    assert decision.status.phase is RestorePhase.REFUSED
    assert ready(decision) == ("False", "BackupNotFound", refusal.message)
    assert decision.status.completed_at == NOW
    assert (decision.actions, decision.after) == ((), None)


def test_every_snapshot_is_claimed_before_anything_is_made() -> None:
    decision = restore.decide(seen(RestoreStatus(), backup="b", sources=[DATA, LOGS]))

    status = decision.status
    assert steps(decision) == [(Step.HOLD, "data"), (Step.HOLD, "logs")]
    assert (status.phase, status.backup, status.started_at) == (RestorePhase.RESTORING, "b", NOW)
    assert (status.claims, status.into) == ((DATA, LOGS), "data-new +1")
    assert ready(decision) == ("False", "Restoring", "claims are being made")
    assert decision.after == restore.AT_ONCE


def test_a_single_claim_is_shown_by_its_name() -> None:
    decision = restore.decide(seen(RestoreStatus(), backup="b", sources=[DATA]))

    assert decision.status.into == "data-new"


def test_claims_are_made_first_and_then_their_pods() -> None:
    first = follow(REPORTED, NOTHING, NOTHING)
    second = follow(first.status, made("u1"), made("u2"))

    assert steps(first) == [(Step.CREATE_CLAIM, "data"), (Step.CREATE_CLAIM, "logs")]
    assert first.after == restore.POLL
    assert steps(second) == [(Step.CREATE_POD, "data"), (Step.CREATE_POD, "logs")]
    assert [c.new_claim_uid for c in second.status.claims] == ["u1", "u2"]
    assert second.status.phase is RestorePhase.RESTORING


def test_each_claim_goes_on_by_itself() -> None:
    decision = follow(REPORTED, verified("u1"), NOTHING)

    assert steps(decision) == [(Step.HAND_OVER, "data"), (Step.CREATE_CLAIM, "logs")]
    assert decision.status.claims[0].verified == "dump shop: sha256 as recorded"
    assert decision.status.phase is RestorePhase.RESTORING


def test_bound_claims_are_said_to_be_verified() -> None:
    decision = follow(REPORTED, verifying("u1"), verifying("u2"))

    assert decision.status.phase is RestorePhase.VERIFYING
    assert ready(decision) == ("False", "Verifying", "claims are being verified")
    assert (decision.actions, decision.after) == ((), restore.POLL)


def test_what_a_pod_waits_for_is_reported() -> None:
    stuck = replace(made("u1"), pod_there=True, pod_says="0/2 nodes are available")

    decision = follow(REPORTED, stuck, verifying("u2"))

    assert ready(decision)[2] == "claim data-new: 0/2 nodes are available"
    assert decision.status.phase is RestorePhase.RESTORING


def test_a_restore_is_complete_one_round_after_its_last_verification() -> None:
    last = follow(REPORTED, verified("u1"), verified("u2"))
    end = follow(last.status, verified("u1"), verified("u2"))

    assert steps(last) == [(Step.HAND_OVER, "data"), (Step.HAND_OVER, "logs")]
    assert last.after == restore.AT_ONCE
    assert not last.status.phase.final
    assert end.status.phase is RestorePhase.COMPLETED
    assert ready(end) == (
        "True",
        "Completed",
        "data-new: dump shop: sha256 as recorded; logs-new: dump shop: sha256 as recorded",
    )
    assert (end.status.completed_at, end.after) == (NOW, None)
    assert steps(end) == [
        (Step.DELETE_POD, "data"),
        (Step.RELEASE, "data"),
        (Step.DELETE_POD, "logs"),
        (Step.RELEASE, "logs"),
    ]


def test_a_verified_claim_needs_its_pod_no_more() -> None:
    over = with_claims(entry("data", new_claim_uid="u1", verified="mounted"), LOGS)
    gone = replace(verifying("u1"), pod_there=False)

    assert steps(follow(over, gone, made("u2"))) == [(Step.CREATE_POD, "logs")]


def test_a_pod_that_says_nothing_has_mounted_the_claim() -> None:
    decision = follow(REPORTED, replace(verified("u1"), pod_says=""), NOTHING)

    assert decision.status.claims[0].verified == "mounted"


def test_a_pod_that_went_away_unheard_is_made_again() -> None:
    asked = with_claims(entry("data", new_claim_uid="u1"), LOGS)

    decision = follow(asked, replace(verifying("u1"), pod_there=False), verifying("u2"))

    assert steps(decision) == [(Step.CREATE_POD, "data")]


BEGUN = with_claims(entry("data", new_claim_uid="u1"), LOGS)


@pytest.mark.parametrize(
    ("status", "data", "why"),
    [
        (
            REPORTED,
            replace(made("u9"), claim_ours=False),
            "claim data-new: a claim of that name was made by somebody else",
        ),
        (BEGUN, NOTHING, "claim data-new: it was deleted while it was being restored"),
        (BEGUN, made("u9"), "claim data-new: it was deleted while it was being restored"),
        (
            REPORTED,
            replace(NOTHING, snapshot_there=False),
            "claim data-new: VolumeSnapshot data-1 was deleted before the claim was bound",
        ),
        (
            BEGUN,
            replace(made("u1"), snapshot_there=False),
            "claim data-new: VolumeSnapshot data-1 was deleted before the claim was bound",
        ),
        (
            BEGUN,
            replace(verifying("u1"), pod_failed=True, pod_says="sha256 differs"),
            "claim data-new: verification failed: sha256 differs; or add Unverified to "
            "spec.acknowledge to restore what there is, as it is",
        ),
    ],
    ids=["foreign", "deleted", "recreated", "no snapshot", "snapshot lost", "not as recorded"],
)
def test_what_can_never_end_well_fails_the_restore(
    status: RestoreStatus, data: ClaimSeen, why: str
) -> None:
    noted = follow(status, data, verifying("u2"))
    decision = follow(noted.status, data, verifying("u2"))

    assert (noted.actions, noted.after, ready(noted)[2]) == ((), restore.AT_ONCE, why)
    assert decision.status.phase is RestorePhase.FAILED
    assert ready(decision)[:2] == ("False", "Failed")
    assert ready(decision)[2].startswith(f"{why}; left to be looked at, then to be deleted: claim ")
    assert decision.after is None
    assert {s for s in steps(decision) if s[0] is Step.RELEASE} == {
        (Step.RELEASE, "data"),
        (Step.RELEASE, "logs"),
    }
    assert (Step.HAND_OVER, "logs") in steps(decision), "a claim with a volume is the user's now"
    assert not {s for s, _ in steps(decision)} & {Step.CREATE_CLAIM, Step.CREATE_POD}


def test_a_snapshot_may_go_once_its_claim_is_bound() -> None:
    decision = follow(BEGUN, replace(verifying("u1"), snapshot_there=False), verifying("u2"))

    assert not decision.status.phase.final


FAILED = replace(verifying("u1"), pod_failed=True, pod_says="sha256 differs")


def test_a_pod_that_failed_goes_once_what_it_said_is_written_down() -> None:
    noted = follow(BEGUN, FAILED, verifying("u2"))
    decision = follow(noted.status, FAILED, verifying("u2"))
    # The process dies before the status is written; what it did leads to the same end.
    again = follow(noted.status, replace(FAILED, pod_there=False, pod_failed=False), verified("u2"))

    assert noted.actions == ()
    assert (Step.DELETE_POD, "data") in steps(decision)
    assert again.status == decision.status


@pytest.mark.parametrize(
    ("look", "step"),
    [
        (made("u1"), Step.DELETE_CLAIM),
        (replace(made("u1"), pod_there=True), Step.DELETE_CLAIM),
        (verifying("u1"), Step.HAND_OVER),
        (NOTHING, None),
        (replace(made("u9"), claim_ours=False), None),
    ],
    ids=["not bound", "not scheduled", "bound", "none", "somebody else's"],
)
def test_a_request_that_fails_leaves_no_claim_without_a_volume(
    look: ClaimSeen, step: Step | None
) -> None:
    status = with_claims(entry("data", new_claim_uid="u1"), entry("logs", failed="it was deleted"))

    decision = follow(status, look, NOTHING)

    fates = {s for s, claim in steps(decision) if claim == "data"}
    assert fates - {Step.DELETE_POD, Step.RELEASE} == ({step} if step else set())


def test_a_verified_claim_outlives_its_request_whatever_happens() -> None:
    status = with_claims(
        entry("data", new_claim_uid="u1", verified="mounted"),
        entry("logs", failed="it was deleted"),
    )

    decision = follow(status, verifying("u1"), NOTHING)

    assert Step.DELETE_CLAIM not in {s for s, _ in steps(decision)}


@pytest.mark.parametrize("phase", [p for p in RestorePhase if p.final])
def test_a_final_phase_is_never_left(phase: RestorePhase) -> None:
    over = changed(REPORTED, phase=phase)

    assert follow(over, NOTHING, NOTHING) == restore.Decision(over)


def test_an_unchanged_world_changes_no_status() -> None:
    first = follow(REPORTED, verifying("u1"), verifying("u2"))

    assert follow(first.status, verifying("u1"), verifying("u2")).status == first.status


@pytest.mark.parametrize("kill", range(8))
def test_a_restore_whose_process_dies_after_any_write_ends_the_same(kill: int) -> None:
    """The world: what was created; each round's writes are numbered, and one is the last."""
    status, world, writes = RestoreStatus(), set[str](), 0
    for _ in range(30):
        decision = restore.decide(
            seen(status, backup="b", sources=[DATA], claims={"data": _look(world)})
            if status.phase is RestorePhase.PENDING
            else seen(status, claims={"data": _look(world)})
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


def _look(world: Iterable[str]) -> ClaimSeen:
    there = set(world)
    return replace(
        NOTHING,
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
        case Step.CREATE_CLAIM:
            assert "hold" in world
            world.add("claim")
        case Step.CREATE_POD:
            world.add("pod")
        case Step.DELETE_POD:
            world.discard("pod")
        case Step.HAND_OVER:
            world.add("handed over")
        case Step.DELETE_CLAIM:
            raise AssertionError("a restore that goes well deletes nothing")
