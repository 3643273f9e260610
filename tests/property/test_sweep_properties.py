"""A sweep that is killed after any write ends, and never takes a disk that must stay."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.domain.sweep import Action, Carrier, Content, DeletionPolicy, Step, plan_sweep

RETAIN, DELETE = DeletionPolicy.RETAIN, DeletionPolicy.DELETE


@dataclass
class World:
    """One disk snapshot, the objects about it, and a snapshot controller that does its duty."""

    snapshot: Carrier | None
    content: Content | None
    twin: Content | None
    disk: bool = True
    finalizers: bool = False

    def plan(self) -> Action:
        others = [c for c in (self.content, self.twin) if c is not None]
        return plan_sweep(self.snapshot, self.content, others)

    def write(self, action: Action) -> None:
        """Apply one write the way the API server and the controllers do."""
        content = self.content
        match action.step:
            case Step.WRITE_INTENT if content is not None:
                self.content = replace(content, sweep_intent=action.intent, deletion_policy=RETAIN)
            case Step.SET_DELETE if content is not None:
                self.content = replace(content, deletion_policy=DELETE)
            case Step.DELETE_SNAPSHOT if self.snapshot is not None:
                assert action.resource_version == self.snapshot.resource_version
                if self.finalizers:
                    self.snapshot = replace(self.snapshot, deleting=True)
                else:
                    self.snapshot_goes()
            case Step.DELETE_CONTENT if content is not None:
                self.content_goes()
            case step:
                pytest.fail(f"{step} is no write here")

    def snapshot_goes(self) -> None:
        self.snapshot = None
        if self.content is not None and self.content.deletion_policy is DELETE:
            self.content_goes()

    def content_goes(self) -> None:
        if self.content is not None and self.content.deletion_policy is DELETE:
            self.disk = False
        self.content = None

    def finish(self) -> list[Step]:
        """Plan and write until there is nothing to write; finalizers end when we wait."""
        steps: list[Step] = []
        for _ in range(12):
            action = self.plan()
            steps.append(action.step)
            if action.step is Step.FROZEN:
                return steps
            if action.step is Step.NOTHING:
                if self.snapshot is None or not self.snapshot.deleting:
                    return steps
                self.snapshot_goes()
            else:
                self.write(action)
        raise AssertionError(f"does not end: {steps}")


def world(*, policy: DeletionPolicy, shared: bool, finalizers: bool) -> World:
    content = Content("content", "C", "1", "driver", "disk", policy, None, "S")
    twin = replace(content, name="twin", uid="T", ref_uid="other") if shared else None
    return World(Carrier("snap", "S", "1"), content, twin, finalizers=finalizers)


worlds = st.builds(
    world,
    policy=st.sampled_from([RETAIN, DELETE]),
    shared=st.booleans(),
    finalizers=st.booleans(),
)


@given(worlds)
def test_a_sweep_ends_with_nothing_left_but_a_shared_disk(it: World) -> None:
    it.finish()
    assert (it.snapshot, it.content) == (None, None)
    assert it.disk is (it.twin is not None)


@given(worlds, st.integers(min_value=0, max_value=6))
def test_killed_after_any_write_the_next_process_goes_on(it: World, writes: int) -> None:
    for _ in range(writes):
        action = it.plan()
        if action.step in {Step.NOTHING, Step.FROZEN}:
            break
        it.write(action)
    # The next process knows nothing but what it sees.
    it.finish()
    assert (it.snapshot, it.content) == (None, None)
    assert it.disk is (it.twin is not None)


def lose_snapshot(it: World) -> None:
    it.snapshot_goes()


def rebind(it: World) -> None:
    if it.content is not None:
        it.twin = replace(it.content, name="rebound", uid="R", ref_uid="new", sweep_intent=None)


@given(worlds, st.integers(min_value=0, max_value=6), st.sampled_from([lose_snapshot, rebind]))
def test_what_people_do_meanwhile_never_costs_a_disk_that_must_stay(
    it: World, writes: int, meddle: Callable[[World], None]
) -> None:
    if it.content is not None:
        it.content = replace(it.content, deletion_policy=RETAIN)
    for _ in range(writes):
        action = it.plan()
        if action.step in {Step.NOTHING, Step.FROZEN}:
            break
        it.write(action)
    had_disk = it.disk
    meddle(it)
    it.finish()
    if it.twin is not None:
        assert it.disk is had_disk
