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

from backstay.api.backup import BackupPhase
from backstay.api.plan import RunPlan
from backstay.domain.run.concurrency import Limits, Run, admit, claimed, next_look
from backstay.domain.run.shared_places import Taken, in_claim

LIMITS = Limits(everywhere=5, node=1, driver=2)
BEHIND = "behind older runs of this namespace"


def queued(
    name: str, *pools: str, claim: str = "", due: float = 0, of: str = "team", **values: Any
) -> Run:
    """A run due so many minutes after the first, of a claim of its own."""
    mine = plan(claim or name, pools=pools or ("global",))
    state = status(BackupPhase.QUEUED, plan=mine, **values)
    return Run(of, name, (NOW + minutes(due), name), state)


def working(
    name: str,
    *pools: str,
    claim: str = "",
    phase: str = "Dumping",
    of: str = "team",
    since: float = 0,
) -> Run:
    """A run that began so many minutes ago."""
    mine = plan(claim or name, pools=pools)
    began = NOW - minutes(since)
    state = status(BackupPhase(phase), plan=mine, pools=pools, attempted_at=began)
    return Run(of, name, (began, name), state)


def verdicts(*runs: Run, limits: Limits = LIMITS) -> dict[str, str]:
    return {name: why for (_, name), why in admit(runs, limits, NOW).items()}


def started(*runs: Run, limits: Limits = LIMITS) -> list[str]:
    return [name for name, why in verdicts(*runs, limits=limits).items() if not why]


def test_runs_start_in_the_order_in_which_they_are_due_until_their_share_is_taken() -> None:
    runs = [queued("d", due=4), queued("b", due=2), queued("c", due=3), queued("a", due=1)]

    assert verdicts(*runs, limits=Limits(everywhere=3, node=1, driver=2)) == {
        "a": "",
        "b": "",
        "c": "waiting for a permit of global, of which this namespace has its share",
        "d": f"waiting for a permit of global, {BEHIND}",
    }


def test_what_works_already_counts() -> None:
    busy = working("x", "global", "node/n1")

    found = verdicts(busy, queued("a", "global", "node/n1"), queued("b", "global", "node/n2"))

    assert found == {
        "a": "waiting for a permit of node/n1, of which this namespace has its share",
        "b": "",
    }


@pytest.mark.parametrize("phase", ["Uploading", "Completed", "Failed", "Pending"])
def test_a_run_behind_its_snapshots_holds_nothing(phase: str) -> None:
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


def test_a_permit_that_the_oldest_waits_for_is_kept_for_it_in_every_pool_it_needs() -> None:
    limits = Limits(everywhere=10, node=2, driver=10)
    busy = [
        working("x", "node/n1", of="x"),
        working("y", "node/n1", of="y"),
        working("z", "node/n2", of="z"),
    ]
    both = queued("both", "node/n1", "node/n2", due=1)
    younger = queued("younger", "node/n2", due=2, of="other")

    assert verdicts(*busy, both, younger, limits=limits) == {
        "both": "waiting for a permit of node/n1",
        "younger": "waiting for a permit of node/n2",
    }


def test_many_that_wait_for_one_node_leave_the_others_their_permits() -> None:
    limits = Limits(everywhere=10, node=1, driver=10)
    crowd = [queued(f"a{n}", "global", "node/n1", due=n) for n in range(50)]
    other = queued("other", "global", "node/n2", due=99)

    found = verdicts(*crowd, other, limits=limits)

    assert [name for name, why in found.items() if not why] == ["a0", "other"]


@pytest.mark.parametrize(("limit", "share"), [(1, 1), (2, 1), (3, 2), (4, 2), (40, 20)])
def test_a_namespace_that_is_alone_gets_half_of_a_pool_rounded_up(limit: int, share: int) -> None:
    crowd = [queued(f"a{n:02}", "node/n1", due=n) for n in range(50)]

    assert len(started(*crowd, limits=Limits(50, limit, 50))) == share


def test_two_dumps_that_sleep_leave_the_node_to_another_namespace() -> None:
    limits = Limits(everywhere=40, node=2, driver=20)
    hogs = [queued(f"hog{n}", "global", "node/n1", due=n) for n in (1, 2)]

    first = started(*hogs, limits=limits)
    later = started(
        working("hog1", "global", "node/n1", since=9000),
        hogs[1],
        queued("victim", "global", "node/n1", due=3, of="other"),
        limits=limits,
    )

    assert (first, later) == (["hog1"], ["victim"])


def test_a_run_that_waits_for_its_share_keeps_nothing_from_other_namespaces() -> None:
    limits = Limits(everywhere=2, node=9, driver=9)
    mine = [working("m", "global"), queued("n", due=1)]

    assert started(*mine, queued("other", due=2, of="other"), limits=limits) == ["other"]


def test_a_share_is_kept_for_the_oldest_of_the_namespace_that_waits_for_one() -> None:
    limits = Limits(everywhere=20, node=2, driver=4)
    busy = [working("x", "node/n1"), working("y", "driver/d")]
    both = queued("both", "node/n1", "driver/d", due=1)

    found = verdicts(*busy, both, queued("younger", "driver/d", due=2), limits=limits)

    assert found["both"] == "waiting for a permit of node/n1, of which this namespace has its share"
    assert found["younger"] == f"waiting for a permit of driver/d, {BEHIND}"


def test_namespaces_take_turns_whoever_was_there_first_with_many() -> None:
    crowds = [queued(f"{of}{n}", "node/n1", due=n, of=of) for of in ("a", "b") for n in range(1000)]
    late = queued("late", "node/n1", due=5000, of="c")
    busy = [working(of, "node/n1", of=of, since=1) for of in ("a", "b")]

    assert started(*busy, *crowds, late, limits=Limits(9, 3, 9)) == ["late"]


def test_who_waits_learns_who_holds_for_long_and_of_others_only_that_they_do() -> None:
    limits = Limits(everywhere=40, node=3, driver=20)
    busy = [
        working("mine", "node/n1", since=5),
        working("theirs", "node/n1", since=7, of="secret"),
        working("quick", "node/n1", since=0.5, of="third"),
    ]
    line = [queued("first", "node/n1", due=1), queued("second", "node/n1", due=2)]

    assert verdicts(*busy, *line, limits=limits) == {
        "first": "waiting for a permit of node/n1 (3 in all, held by team/mine since "
        "2026-11-22T00:55:00Z, a run of other namespaces since 2026-11-22T00:53:00Z)",
        "second": f"waiting for a permit of node/n1, {BEHIND}",
    }


def test_what_a_run_waits_for_reads_the_same_while_quick_runs_come_and_go() -> None:
    limits = Limits(everywhere=40, node=3, driver=20)
    line = [queued(f"a{n}", "node/n1", due=n) for n in range(9)]

    def reported(*names: str) -> dict[str, str]:
        busy = [working(name, "node/n1", since=0.2, of=f"of-{name}") for name in names]
        return verdicts(*busy, *line, limits=limits)

    assert reported("x", "y", "z") == reported("u", "v", "w")


@pytest.mark.parametrize(
    ("runs", "after"),
    [
        ([queued("a", retry_at=NOW + minutes(3))], 3.0),
        ([working("x", "node/n1", since=0.25), queued("a", "node/n1")], 0.75),
        ([working("x", "node/n1", since=5), queued("a", "node/n1")], None),
        ([working("x", "node/n1", since=0.25), queued("a", "node/n2")], None),
    ],
    ids=["a retry", "a holder to be named", "one named already", "nobody waits"],
)
def test_the_next_look_is_when_there_is_something_to_report(
    runs: list[Run], after: float | None
) -> None:
    found = next_look(runs, admit(runs, LIMITS, NOW), NOW)

    assert found == (None if after is None else minutes(after))


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


def test_a_run_of_a_claim_that_a_restore_writes_into_waits_for_that_alone() -> None:
    restore = Taken("RestoreRequest", "team", "over", in_claim("team", "a", "uploads"))
    runs = [queued("a"), queued("b"), queued("c", claim="a", of="other")]

    found = {name: why for (_, name), why in admit(runs, LIMITS, NOW, taken=[restore]).items()}

    assert found == {
        "a": "waiting for the restore into what it reads: RestoreRequest over",
        "b": "",
        "c": "",
    }
