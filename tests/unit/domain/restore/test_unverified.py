"""Claims that cannot be verified: handed over where a person said so, and only then."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.builders import NOW
from tests.unit.domain.restore.test_machine import (
    NOTHING,
    REPORTED,
    Look,
    but,
    follow,
    made,
    steps,
    verified,
    verifying,
)

from backstay.api.common import changed
from backstay.api.restore_status import RestorePhase, RestoreStatus
from backstay.domain.restore import machine
from backstay.domain.restore.items import Step
from backstay.domain.stores.snapshots.restore import UNVERIFIED_AFTER


def may_go(status: RestoreStatus, data: Look, ago: timedelta) -> machine.Decision:
    """What is decided on a request that acknowledges Unverified and began so long ago."""
    status = changed(status, started_at=NOW - ago)
    return follow(status, data, verified("u2"), may=True)


STUCK = but(made("u1"), pod_there=True, pod_says="0/3 nodes are available")
SOON, LATE = UNVERIFIED_AFTER / 2, UNVERIFIED_AFTER * 2


@pytest.mark.parametrize(
    ("data", "ago", "why"),
    [
        (but(verifying("u1"), pod_failed=True, pod_says="sha256 differs"), SOON, "sha256"),
        (
            but(STUCK, binds_late=True),
            LATE,
            "not verified within 0:05:00: 0/3 nodes are available",
        ),
        (but(STUCK, bound=True), LATE, "0/3 nodes"),
    ],
    ids=["differs", "never scheduled", "bound"],
)
def test_a_claim_that_cannot_be_verified_is_handed_over_where_a_person_said_so(
    data: Look, ago: timedelta, why: str
) -> None:
    decision = may_go(REPORTED, data, ago)

    assert (Step.COMMIT, "data") in steps(decision)
    assert why in (decision.status.items[0].verified or "")
    (used,) = decision.status.acknowledged
    assert used.word == "Unverified"
    ended = may_go(decision.status, data, ago)
    assert ended.status.phase is RestorePhase.COMPLETED
    assert (Step.STOP, "data") in steps(ended)


@pytest.mark.parametrize(
    ("data", "ago"),
    [
        (but(STUCK, bound=True), SOON),
        (NOTHING, LATE),
        (but(verifying("u9"), claim_ours=False), LATE),
        (STUCK, LATE),
        (but(STUCK, binds_late=True, claim_says="ProvisioningFailed: full"), LATE),
    ],
    ids=["soon", "no claim", "foreign", "never bound", "refused by its driver"],
)
def test_nothing_is_handed_over_unverified_that_is_not_there_or_may_still_be_verified(
    data: Look, ago: timedelta
) -> None:
    decision = may_go(REPORTED, data, ago)

    assert decision.status.items[0].verified is None
    assert decision.status.acknowledged == ()


def test_a_verification_that_ends_well_uses_no_word() -> None:
    decision = may_go(REPORTED, verified("u1"), LATE)

    assert decision.status.items[0].verified == "dump shop: sha256 as recorded"
    assert decision.status.acknowledged == ()
