"""Which queued runs may start now, and what the others wait for."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import (
    NOW,
    minutes,
    plan,
    planned_dump,
    planned_hook,
    planned_hooks,
    status,
    target,
)

from backstay.api.backup import BackupPhase, RunPlan
from backstay.domain.admission import Limits, Run, admit, claimed

LIMITS = Limits(everywhere=3, node=1, driver=2)


def queued(name: str, *pools: str, claim: str = "", due: float = 0, **values: Any) -> Run:
    """A run due so many minutes after the first, of a claim of its own."""
    mine = plan(claim or name, pools=pools or ("global",))
    state = status(BackupPhase.QUEUED, plan=mine, **values)
    return Run("team", name, (NOW + minutes(due), name), state)


def working(name: str, *pools: str, claim: str = "", phase: str = "Dumping") -> Run:
    mine = plan(claim or name, pools=pools)
    return Run("team", name, (NOW, name), status(BackupPhase(phase), plan=mine, pools=pools))


def verdicts(*runs: Run, limits: Limits = LIMITS) -> dict[str, str]:
    return {name: why for (_, name), why in admit(runs, limits, NOW).items()}


def test_runs_start_in_the_order_in_which_they_are_due_until_a_pool_is_full() -> None:
    runs = [queued("d", due=4), queued("b", due=2), queued("c", due=3), queued("a", due=1)]

    assert verdicts(*runs) == {"a": "", "b": "", "c": "", "d": "waiting for a slot of global"}


def test_what_works_already_counts() -> None:
    busy = working("x", "global", "node/n1")

    found = verdicts(busy, queued("a", "global", "node/n1"), queued("b", "global", "node/n2"))

    assert found == {"a": "waiting for a slot of node/n1", "b": ""}


@pytest.mark.parametrize("phase", ["Uploading", "Completed", "Failed", "Pending"])
def test_a_run_behind_its_cut_holds_nothing(phase: str) -> None:
    assert verdicts(working("x", "node/n1", claim="a", phase=phase), queued("a", "node/n1")) == {
        "a": ""
    }


def test_one_run_at_a_time_has_a_claim_whatever_its_policy() -> None:
    found = verdicts(working("x", claim="data"), queued("a", claim="data"), queued("b"))

    assert found == {"a": "waiting for x", "b": ""}


def test_a_claim_of_another_namespace_is_another_claim() -> None:
    elsewhere = Run("other", "a", (NOW, "a"), queued("a", claim="data").status)

    assert admit([working("x", claim="data"), elsewhere], LIMITS, NOW) == {("other", "a"): ""}


def test_of_two_runs_of_one_claim_the_one_due_earlier_goes_first() -> None:
    late, early = queued("late", claim="data", due=2), queued("early", claim="data", due=1)

    assert verdicts(late, early) == {"early": "", "late": "waiting for early"}


def test_a_run_that_waits_for_its_retry_keeps_nobody_waiting() -> None:
    resting = queued("rests", claim="data", retry_at=NOW + minutes(1))

    assert verdicts(resting, queued("a", claim="data", due=5)) == {"a": ""}


def test_a_retry_that_a_clock_that_was_ahead_has_put_off_is_due() -> None:
    assert verdicts(queued("rests", claim="data", retry_at=NOW + minutes(480))) == {"rests": ""}


def test_a_slot_that_the_oldest_waits_for_is_kept_for_it_in_every_pool_it_needs() -> None:
    limits = Limits(everywhere=10, node=2, driver=10)
    busy = [working("x", "node/n1"), working("y", "node/n1"), working("z", "node/n2")]
    both = queued("both", "node/n1", "node/n2", due=1)
    younger = queued("younger", "node/n2", due=2)

    assert verdicts(*busy, both, younger, limits=limits) == {
        "both": "waiting for a slot of node/n1",
        "younger": "waiting for a slot of node/n2",
    }


def test_many_that_wait_for_one_node_leave_the_others_their_slots() -> None:
    limits = Limits(everywhere=10, node=1, driver=10)
    crowd = [queued(f"a{n}", "global", "node/n1", due=n) for n in range(50)]
    other = queued("other", "global", "node/n2", due=99)

    found = verdicts(*crowd, other, limits=limits)

    assert [name for name, why in found.items() if not why] == ["a0", "other"]


@pytest.mark.parametrize(
    ("one", "other", "overlaps"),
    [
        (plan("a"), plan("a", "b"), True),
        (plan("a"), plan("b"), False),
        (plan("a", dumps=(planned_dump("x"),)), plan("b", dumps=(planned_dump("y"),)), True),
        (
            plan("a", dumps=(planned_dump("x"),)),
            plan("b", dumps=(planned_dump("x", target=target("other")),)),
            False,
        ),
        (
            plan("a", hooks=planned_hooks(planned_hook())),
            plan("b", dumps=(planned_dump("x"),)),
            True,
        ),
        (plan("a"), None, False),
    ],
)
def test_runs_share_claims_and_targets_of_dumps_and_hooks(
    one: RunPlan, other: RunPlan | None, overlaps: bool
) -> None:
    assert bool(claimed(one) & claimed(other)) is overlaps
