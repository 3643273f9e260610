"""One run in a world in memory: its process dies before any write, and anything else goes wrong.

Each round is what the reconciler does: look at the world, decide, write one thing after another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from hypothesis import event, given, settings
from hypothesis import strategies as st
from tests.support.builders import STORES, plan, planned_dump, planned_hook, planned_hooks, session
from tests.support.hook_world import HookFate
from tests.support.run_things import DumpFate, SnapshotFate
from tests.support.run_world import REFUSAL, World

from backstay.api.backup import BackupPhase
from backstay.api.common import changed
from backstay.api.hooks import PlannedHook, Stage
from backstay.api.plan import ClaimGroup, RunPlan
from backstay.api.point import PointResult
from backstay.domain.errors import BackstayError, Conflict
from backstay.domain.run import deadlines, machine
from backstay.domain.run import hooks as run_hooks
from backstay.domain.run import status as run_status
from backstay.domain.run.concurrency import HOLDING
from backstay.domain.run.dumps import DEADLINE_SLACK, PROGRESS, TARGET_WAIT
from backstay.domain.run.hooks import SLACK
from backstay.domain.run.values import POLL

SECOND = timedelta(seconds=1)
DEADLINE = 60 * SECOND
DOWN = 8 * SECOND
"""How long nobody works after the process died."""

Fault = Callable[[World], None]
FAULTS: Mapping[str, Fault] = {
    "restart": World.restart_container,
    "kill dump": World.kill_dumps,
    "overwrite": World.overwrite,
    "delete": World.delete_snapshots,
    "pod away": lambda world: setattr(world, "pod_runs", False),
    "pod back": lambda world: setattr(world, "pod_runs", True),
    "no quota": lambda world: setattr(world, "quota", False),
    "quota back": lambda world: setattr(world, "quota", True),
    "claims recreated": lambda world: setattr(world, "claims_recreated", True),
    "delete the Backup": lambda world: setattr(world, "deleting", True),
}


@dataclass(frozen=True, slots=True)
class Story:
    """What is backed up, and what goes wrong when."""

    claims: tuple[str, ...]
    homes: dict[str, str]
    """The claim of each dump's file."""
    retries: int = 2
    kills: frozenset[int] = frozenset()
    """The process dies before these writes, counted from the run's first."""
    faults: Mapping[int, str] = field(default_factory=dict)
    """By round."""
    dump_fates: list[DumpFate] = field(default_factory=list)
    snapshot_fates: list[SnapshotFate] = field(default_factory=list)
    before: tuple[PlannedHook, ...] = ()
    after: tuple[PlannedHook, ...] = ()
    hook_fates: list[HookFate] = field(default_factory=list)
    max_freeze: float = 1
    """Minutes."""

    @property
    def frozen(self) -> bool:
        """Whether the claims belong together: there are several, and hooks hold."""
        return len(self.claims) > 1 and any(h.holds for h in self.before)

    @property
    def plan(self) -> RunPlan:
        dumps = tuple(planned_dump(name, max_duration=DEADLINE) for name in self.homes)
        before = tuple(changed(h, freezes=self.frozen and h.holds) for h in self.before)
        return plan(
            *self.claims,
            dumps=dumps,
            together=(ClaimGroup(claims=self.claims),) if self.frozen else (),
            hooks=planned_hooks(*before, after=self.after, max_freeze=self.max_freeze),
            retries=self.retries,
            take_timeout=DEADLINE,
            ready_timeout=2 * DEADLINE,
        )

    @property
    def longest(self) -> timedelta:
        """A bound for the run: every deadline is met to the end, in every attempt."""
        dump = TARGET_WAIT + DEADLINE + DEADLINE_SLACK
        attempt = (
            len(self.homes) * dump + 3 * DEADLINE + run_status.RETRY_BASE * (1 << self.retries)
        )
        one = planned_hook()
        hook = 2 * TARGET_WAIT + SLACK + 2 * (one.timeout + one.undo_timeout)
        attempt += (len(self.before) + len(self.after)) * hook
        # A look that comes just before a deadline is followed by one after it.
        works = len(self.homes) + 2 * len(self.before) + len(self.after)
        slack = 10 * (POLL + PROGRESS) * (2 + works)
        dead = len(self.kills) * (DOWN + SECOND)
        return (self.retries + 1) * (attempt + slack) + dead


def seconds(highest: int) -> st.SearchStrategy[int | None]:
    return st.integers(0, highest) | st.none()


@st.composite
def hooks(draw: st.DrawFn) -> tuple[tuple[PlannedHook, ...], tuple[PlannedHook, ...]]:
    """Hooks before and after; mostly few, often none."""
    kinds = st.sampled_from([planned_hook, session])
    makers = draw(st.lists(kinds, max_size=2))
    before = tuple(make(f"h{n}") for n, make in enumerate(makers))
    plain = (planned_hook("plain", holds=False),) if draw(st.booleans()) else ()
    last = (planned_hook("last", holds=False),) if draw(st.booleans()) else ()
    return (*before, *plain), last if before else ()


@st.composite
def stories(draw: st.DrawFn, *, faulty: bool) -> Story:
    claims = draw(st.sampled_from([("data",), ("data", "logs")]))
    names = draw(st.sampled_from([(), ("a",), ("a", "b")]))
    homes = {name: draw(st.sampled_from(claims)) for name in names}
    kills = draw(st.frozensets(st.integers(0, 30), max_size=6))
    before, after = draw(hooks())
    if not faulty:
        moments = st.builds(
            SnapshotFate, st.integers(0, 30 if not before else 5), st.integers(0, 60)
        )
        dumps = st.builds(DumpFate, st.integers(0, 30))
        return Story(
            claims,
            homes,
            kills=kills,
            dump_fates=draw(st.lists(dumps, max_size=2)),
            snapshot_fates=draw(st.lists(moments, max_size=2)),
            before=before,
            after=after,
            max_freeze=60,
        )
    return Story(
        claims,
        homes,
        retries=draw(st.integers(0, 2)),
        kills=kills,
        faults=draw(
            # Most in the first rounds, in which the first dumps run and snapshots are taken.
            st.dictionaries(
                st.integers(0, 14) | st.integers(0, 60), st.sampled_from(sorted(FAULTS)), max_size=5
            )
        ),
        dump_fates=draw(st.lists(st.builds(DumpFate, seconds(80), st.booleans()), max_size=4)),
        snapshot_fates=draw(
            st.lists(
                st.builds(SnapshotFate, seconds(80), seconds(150), st.sampled_from(["", "busy"])),
                max_size=4,
            )
        ),
        before=before,
        after=after,
        hook_fates=draw(
            st.lists(
                st.builds(
                    HookFate,
                    st.integers(0, 20),
                    st.booleans(),
                    st.integers(0, 20),
                    st.booleans(),
                    st.booleans(),
                ),
                max_size=4,
            )
        ),
    )


def report(story: Story) -> World:
    """Let the story happen to its end; every state on the way is checked."""
    world = World(story.plan, story.homes, story.dump_fates, story.snapshot_fates, story.hook_fates)
    began, written, rounds = world.now, 0, 0
    while not (world.status.phase.final or world.gone):
        assert world.now - began <= story.longest, f"the run never ends: {world.status}"
        if rounds in story.faults:
            FAULTS[story.faults[rounds]](world)
        rounds += 1
        taken = world.taken_snapshots()
        decision = machine.decide(world.look())
        pause = (decision.after or timedelta(0)) + SECOND
        for write in world.writes(decision):
            written += 1
            if written - 1 in story.kills:
                world.kill_process()
                pause = DOWN
                break
            try:
                write()
            except Conflict:
                break  # The queue tries the whole round again.
            except BackstayError as error:
                world.report(error.message)()
                break
            check(world)
        else:
            # A Backup that is deleted before it has a plan has no hooks.
            hooks_are_over = world.status.plan is None or (
                run_hooks.turn(world.status, deleting=world.deleting) is None
            )
            if decision.after != timedelta(0) and hooks_are_over and not world.hooks.frozen():
                assert all(s.labelled for s in taken if s.live), "taken, and nobody would find it"
        world.pass_time(pause)
    return world


def check(world: World) -> None:
    """What holds after every single write."""
    good = [s for s in world.snapshots.values() if s.live and s.result is PointResult.GOOD]
    assert len({s.claim for s in good}) == len(good), "two good snapshots of one claim"
    for snapshot in good:
        assert snapshot.retained, "good before its content was Retain"
        assert snapshot.ready, "good before it was ready"
        recorded = {d.name: d.sha256 for d in snapshot.dumps}
        assert recorded.keys() == world.dumps_of(snapshot.claim), "a dump is not on record"
        assert None not in recorded.values(), "good with a dump that failed"
        inside = {name: snapshot.inside.get(name) for name in recorded}
        assert inside == recorded, "another dump is inside than the one on record"
        held = {h.name for h in world.holding}
        assert held <= snapshot.frozen, "good, and a hook did not hold when it was taken"
    if world.status.phase in HOLDING:
        over = deadlines.deadlines(world.status, STORES, deleting=world.deleting)
        assert over, "it holds what others wait for, and nothing ends that"
    frozen = world.hooks.frozen()
    assert world.kept or not frozen or not world.pod_runs, "held, and the Backup may go"


def check_end(world: World) -> None:
    """What holds when the run is over."""
    status = world.status
    assert not world.kept
    if world.pod_runs:
        assert not world.hooks.frozen(), "over, and a hook still holds"
    if world.gone:
        return
    live = {name: s for name, s in world.snapshots.items() if s.live}
    assert all(s.result is not PointResult.PENDING for s in live.values())
    good = {p.ref for p in status.points if p.result is PointResult.GOOD}
    labelled = {name for name, s in live.items() if s.result is PointResult.GOOD}
    assert labelled == good & live.keys(), "status and labels differ"
    assert status.plan is not None
    missing = len(status.plan.claims) - len(good)
    expected = BackupPhase.COMPLETED
    if missing:
        expected = BackupPhase.PARTIALLY_FAILED if good else BackupPhase.FAILED
        assert status.message
    assert status.phase is expected
    assert status.completed_at is not None
    over = machine.decide(world.look())
    assert (over.status, over.actions, over.after) == (status, (), None)


def check_together(world: World, story: Story) -> None:
    """Claims that belong together are good of one attempt, all or none; but one that was marked
    keeps its mark where the other went away before its own, and no other is taken beside it.
    """
    good = [p for p in world.status.points if p.result is PointResult.GOOD]
    if not story.frozen:
        return
    assert len({p.attempt for p in good}) <= 1
    taken_away = {"delete", "claims recreated"} & set(story.faults.values())
    assert len(good) in (0, len(story.claims)) or (taken_away and story.kills)


@given(stories(faulty=True))
@settings(max_examples=60, deadline=None)
def test_whatever_goes_wrong_the_run_ends_and_reports_the_truth(story: Story) -> None:
    world = report(story)

    check_end(world)
    check_together(world, story)
    event(world.status.phase.value)


@given(stories(faulty=False))
@settings(max_examples=40, deadline=None)
def test_a_run_whose_process_only_dies_completes_at_once_with_one_snapshot_per_claim(
    story: Story,
) -> None:
    world = report(story)

    check_end(world)
    assert (world.status.phase, world.status.attempt) == (BackupPhase.COMPLETED, 1)
    assert sorted(s.claim for s in world.snapshots.values()) == list(story.claims)
    mine = [(1, Stage.BEFORE, h.name) for h in story.before]
    mine += [(1, Stage.AFTER, h.name) for h in story.after]
    assert world.hooks.starts == mine, "each hook was started once, in order"
    holding = [(1, Stage.BEFORE, h.name) for h in story.before if h.holds]
    assert world.hooks.undone == holding[::-1], "released in reverse order"
    for snapshot in world.snapshots.values():
        assert snapshot.inside.keys() == world.dumps_of(snapshot.claim)


def test_snapshots_that_the_api_server_refuses_to_the_end_fail_the_run_with_its_words() -> None:
    world = report(Story(("data", "logs"), {}, retries=0, faults={0: "no quota"}))

    check_end(world)
    assert (world.status.phase, world.snapshots) == (BackupPhase.FAILED, {})
    for point in world.status.points:
        assert (point.message or "").endswith(f"within takeTimeout (0:01:00): {REFUSAL}")


def test_a_snapshot_refused_or_deleted_for_a_while_before_it_is_taken_costs_no_attempt() -> None:
    faults = {0: "no quota", 9: "quota back", 12: "delete"}
    slow = SnapshotFate(taken=30)

    world = report(Story(("data",), {"a": "data"}, faults=faults, snapshot_fates=[slow, slow]))

    check_end(world)
    assert (world.status.phase, world.status.attempt) == (BackupPhase.COMPLETED, 1)
    assert world.status.message is None
