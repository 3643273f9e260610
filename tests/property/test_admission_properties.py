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
from backstay.domain.run.concurrency import HOLDING, Limits, Run, admit, claimed, serve


@dataclass(frozen=True, slots=True)
class Job:
    """One run to come: what it needs, how many passes it works, in which pass it is created."""

    claims: frozenset[str]
    nodes: frozenset[str]
    length: int
    born: int
    of: str = "team"


teams = st.sampled_from(["team-a", "team-b", "team-c"])
jobs = st.builds(
    Job,
    st.frozensets(st.sampled_from("abcdef"), min_size=1, max_size=2),
    st.frozensets(st.sampled_from(["n1", "n2", "n3"]), max_size=2),
    st.integers(1, 4),
    st.integers(0, 10),
    teams,
)
limits = st.builds(Limits, st.integers(1, 5), st.integers(1, 2), st.integers(1, 5))


def queued(number: int, job: Job) -> Run:
    pools = ("driver/csi.example", "global", *(f"node/{n}" for n in sorted(job.nodes)))
    mine = plan(*sorted(job.claims), pools=pools)
    name = f"run-{number:03}"
    due = NOW + timedelta(seconds=job.born)
    return Run(job.of, name, (due, name), status(BackupPhase.QUEUED, plan=mine))


def started(run: Run) -> Run:
    assert run.status.plan is not None
    begun = changed(run.status, phase=BackupPhase.DUMPING, pools=run.status.plan.pools)
    return replace(run, status=begun)


@given(st.lists(jobs, min_size=1, max_size=25), limits, st.integers(0, 10))
@settings(max_examples=100, deadline=None)
def test_limits_and_shares_hold_nothing_is_shared_and_every_run_has_its_turn(
    work: list[Job], most: Limits, lost: int
) -> None:
    """In each pass the first `lost` writes of admissions are lost, as in a race."""
    runs: dict[str, Run] = {}
    ends: dict[str, int] = {}
    waited: Counter[str] = Counter()
    served: dict[str, int] = {}
    for turn in range(2000):
        for number, job in enumerate(work):
            if job.born == turn:
                new = queued(number, job)
                runs[new.name] = new
        for name in [n for n, end in ends.items() if end <= turn]:
            del runs[name], ends[name]
        if not runs and turn > 10:
            break
        found = admit(runs.values(), most, NOW + timedelta(hours=1), served)
        served = serve(served, found)
        for (_, name), why in found.items():
            if why:
                waited[name] += 1
            elif lost > 0:
                lost -= 1
            else:
                runs[name] = started(runs[name])
                ends[name] = turn + work[int(name.removeprefix("run-"))].length
        check(list(runs.values()), most)
    assert not runs, "a run was starved"
    # Whoever is older has its turn before younger runs of its namespace.
    event(f"longest wait {max(waited.values(), default=0) // 10 * 10}+ passes")
    assert max(waited.values(), default=0) <= sum(job.length for job in work) + 20


def check(runs: list[Run], most: Limits) -> None:
    """What holds after every pass."""
    working = [run for run in runs if run.status.phase in HOLDING]
    taken = Counter(pool for run in working for pool in run.status.pools)
    assert all(count <= most.of(pool) for pool, count in taken.items()), taken
    shares = Counter((run.namespace, pool) for run in working for pool in run.status.pools)
    assert all(count <= most.share(pool) for (_, pool), count in shares.items()), shares
    held = Counter((r.namespace, thing) for r in working for thing in claimed(r.status.plan))
    assert all(count == 1 for count in held.values()), held


@given(
    st.lists(jobs, min_size=1, max_size=12),
    st.lists(jobs, max_size=12),
    st.builds(Limits, st.integers(2, 5), st.integers(2, 4), st.integers(2, 5)),
)
@settings(max_examples=100, deadline=None)
def test_no_namespace_starves_whatever_another_one_holds_and_for_however_long(
    work: list[Job], hogs: list[Job], most: Limits
) -> None:
    """The runs of `hog` never end; no pool is smaller than two."""
    own = [queued(number, replace(job, of="hog")) for number, job in enumerate(hogs)]
    runs = {run.key: run for run in own}
    ends: dict[tuple[str, str], int] = {}
    for turn in range(500):
        for key in [k for k, end in ends.items() if end <= turn]:
            del runs[key], ends[key]
        if turn == 3:  # they come when the others have all that they can get
            new = [queued(100 + n, job) for n, job in enumerate(work)]
            runs |= {run.key: run for run in new}
            lengths = {run.key: job.length for run, job in zip(new, work, strict=True)}
        if turn > 3 and all(key[0] == "hog" for key in runs):
            return
        for key, why in admit(runs.values(), most, NOW + timedelta(hours=1)).items():
            if not why:
                runs[key] = started(runs[key])
                if key[0] != "hog":
                    ends[key] = turn + lengths[key]
        check(list(runs.values()), most)
    raise AssertionError(f"starved: {[key for key in runs if key[0] != 'hog']}")


@given(
    st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=60),
    st.integers(1, 6),
    st.integers(1, 3),
)
@settings(max_examples=100, deadline=None)
def test_the_first_run_of_a_namespace_waits_for_no_more_runs_than_there_are_namespaces(
    crowd: list[str], limit: int, length: int
) -> None:
    """However many runs others have in line before it, each as long as all others."""
    job = Job(frozenset("a"), frozenset({"n1"}), length, 0)
    line = [
        queued(number, replace(job, of=of, claims=frozenset({f"claim-{number}"}), born=number))
        for number, of in enumerate(crowd)
    ]
    late = queued(999, replace(job, of="late", born=999))
    runs = {run.key: run for run in line}
    ends: dict[tuple[str, str], int] = {}
    served: dict[str, int] = {}
    before = 0
    for turn in range(500):
        for key in [k for k, end in ends.items() if end <= turn]:
            del runs[key], ends[key]
        if turn == 1:
            runs[late.key] = late
        found = admit(runs.values(), Limits(99, limit, 99), NOW + timedelta(hours=1), served)
        served = serve(served, found)
        for key, why in found.items():
            if not why:
                runs[key] = started(runs[key])
                ends[key] = turn + length
        if late.key in ends:
            break
        before += sum(not why for why in found.values()) if turn else 0
    assert before <= 1 + len(set(crowd))


@given(st.lists(jobs, max_size=12), limits)
@settings(max_examples=50, deadline=None)
def test_another_process_that_reads_the_same_decides_the_same(
    work: list[Job], most: Limits
) -> None:
    runs = [queued(number, job) for number, job in enumerate(work)]

    first = admit(runs, most, NOW)

    assert list(admit(reversed(runs), most, NOW).items()) == list(first.items())
    begun = [started(r) if first[r.key] == "" else r for r in runs]
    assert "" not in admit(begun, most, NOW).values(), "a permit was left over"
