"""Pools over the life of many runs: limits hold, nothing is shared, and nobody is starved."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta

from hypothesis import event, given, settings
from hypothesis import strategies as st
from tests.support.builders import NOW, plan, status

from backstay.api.backup import BackupPhase
from backstay.api.common import changed
from backstay.domain.admission import HOLDING, Limits, Run, admit, claimed


@dataclass(frozen=True, slots=True)
class Job:
    """One run to come: what it needs, how many passes it works, in which pass it is created."""

    claims: frozenset[str]
    nodes: frozenset[str]
    length: int
    born: int


jobs = st.builds(
    Job,
    st.frozensets(st.sampled_from("abcdef"), min_size=1, max_size=2),
    st.frozensets(st.sampled_from(["n1", "n2", "n3"]), max_size=2),
    st.integers(1, 4),
    st.integers(0, 10),
)
limits = st.builds(Limits, st.integers(1, 5), st.integers(1, 2), st.integers(1, 5))


def queued(number: int, job: Job) -> Run:
    pools = ("driver/csi.example", "global", *(f"node/{n}" for n in sorted(job.nodes)))
    mine = plan(*sorted(job.claims), pools=pools)
    name = f"run-{number:03}"
    due = NOW + timedelta(seconds=job.born)
    return Run("team", name, (due, name), status(BackupPhase.QUEUED, plan=mine))


def started(run: Run) -> Run:
    assert run.status.plan is not None
    begun = changed(run.status, phase=BackupPhase.DUMPING, pools=run.status.plan.pools)
    return replace(run, status=begun)


@given(st.lists(jobs, min_size=1, max_size=25), limits, st.integers(0, 10))
@settings(max_examples=100, deadline=None)
def test_limits_hold_nothing_is_shared_and_every_run_has_its_turn(
    work: list[Job], most: Limits, lost: int
) -> None:
    """In each pass the first `lost` writes of admissions are lost, as in a race."""
    runs: dict[str, Run] = {}
    ends: dict[str, int] = {}
    waited: Counter[str] = Counter()
    for turn in range(2000):
        for number, job in enumerate(work):
            if job.born == turn:
                new = queued(number, job)
                runs[new.name] = new
        for name in [n for n, end in ends.items() if end <= turn]:
            del runs[name], ends[name]
        if not runs and turn > 10:
            break
        for (_, name), why in admit(runs.values(), most, NOW + timedelta(hours=1)).items():
            if why:
                waited[name] += 1
            elif lost > 0:
                lost -= 1
            else:
                runs[name] = started(runs[name])
                ends[name] = turn + work[int(name.removeprefix("run-"))].length
        check(list(runs.values()), most)
    assert not runs, "a run was starved"
    # Whoever is older is served first, so no wait is longer than all the work before it.
    event(f"longest wait {max(waited.values(), default=0) // 10 * 10}+ passes")
    assert max(waited.values(), default=0) <= sum(job.length for job in work) + 20


def check(runs: list[Run], most: Limits) -> None:
    """What holds after every pass."""
    working = [run for run in runs if run.status.phase in HOLDING]
    taken = Counter(pool for run in working for pool in run.status.pools)
    assert all(count <= most.of(pool) for pool, count in taken.items()), taken
    held = Counter(thing for run in working for thing in claimed(run.status.plan))
    assert all(count == 1 for count in held.values()), held


@given(st.lists(jobs, max_size=12), limits)
@settings(max_examples=50, deadline=None)
def test_another_process_that_reads_the_same_decides_the_same(
    work: list[Job], most: Limits
) -> None:
    runs = [queued(number, job) for number, job in enumerate(work)]

    first = admit(runs, most, NOW)

    assert list(admit(reversed(runs), most, NOW).items()) == list(first.items())
    begun = [started(r) if first[r.key] == "" else r for r in runs]
    assert "" not in admit(begun, most, NOW).values(), "a slot was left over"
