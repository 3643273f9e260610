"""A sweep that is killed after any write ends, never takes a disk that must stay, and leaves one
that might go only where nothing proves that it was we who deleted the snapshot.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.domain.stores.snapshots.deletion import (
    Action,
    Carrier,
    Content,
    DeletionPolicy,
    Step,
    plan_sweep,
)

RETAIN, DELETE = DeletionPolicy.RETAIN, DeletionPolicy.DELETE
DATE = "2026-11-20"
WRITES = st.integers(min_value=0, max_value=6)


@dataclass
class World:
    """One disk snapshot, the objects about it, and a snapshot controller that does its duty."""

    snapshot: Carrier | None
    content: Content | None
    twin: Content | None
    disk: bool = True
    finalizers: bool = False
    held: bool = False
    """A person's label on the snapshot."""
    deleted_by_us: bool = False
    """Our own DELETE was carried out: what a process knows as long as it lives."""

    def plan(self, *, knows: bool = False) -> Action:
        others = [c for c in (self.content, self.twin) if c is not None]
        if knows and self.content is not None and not self.content.is_proven:
            return plan_sweep(Carrier("snap", "S", "1", deleting=True), self.content, others)
        return plan_sweep(self.snapshot, self.content, others)

    def write(self, action: Action) -> None:
        """Apply one write the way the API server and the controllers do."""
        content = self.content
        match action.step:
            case Step.SET_RETAIN if content is not None:
                self.content = replace(content, deletion_policy=RETAIN)
            case Step.WRITE_PROOF if content is not None:
                assert content.deletion_policy is RETAIN
                self.content = replace(content, swept=action.proof)
            case Step.SET_DELETE if content is not None:
                assert self.snapshot is None, "no controller may take the disk by itself"
                self.content = replace(content, deletion_policy=DELETE)
            case Step.DELETE_SNAPSHOT if self.snapshot is not None:
                assert not self.held
                self.deleted_by_us = True
                self.snapshot_goes()
            case Step.DELETE_CONTENT if content is not None:
                assert self.snapshot is None
                self.content_goes()
            case step:
                pytest.fail(f"{step} is no write here")

    def snapshot_goes(self) -> None:
        """Somebody deletes the snapshot."""
        if self.snapshot is not None and self.finalizers:
            self.snapshot = replace(self.snapshot, deleting=True)
        else:
            self.snapshot_is_gone()

    def snapshot_is_gone(self) -> None:
        self.snapshot = None
        if self.content is not None and self.content.deletion_policy is DELETE:
            self.content_goes()

    def content_goes(self) -> None:
        if self.content is not None and self.content.deletion_policy is DELETE:
            self.disk = False
        self.content = None

    def live(self, writes: int = 20) -> int:
        """A process plans and writes until there is nothing to do, or until it is killed after
        so many writes; return how many it made. What it knows dies with it.
        """
        knows = False
        for wrote in range(writes):
            if self.snapshot is not None and self.held:
                self.mirror()
                return wrote
            action = self.plan(knows=knows)
            if action.step in {Step.NOTHING, Step.FROZEN}:
                return wrote
            self.write(action)
            knows = action.step is Step.DELETE_SNAPSHOT
        return writes

    def mirror(self) -> None:
        """As a pass does with a snapshot that is not due."""
        if self.content is not None:
            self.content = replace(self.content, swept=None, held=True, deletion_policy=RETAIN)

    def finish(self) -> None:
        """Processes live, and what waits for finalizers goes, until nothing changes any more."""
        for _ in range(12):
            wrote = self.live()
            if self.snapshot is not None and self.snapshot.deleting:
                self.snapshot_is_gone()
            elif not wrote:
                return
        raise AssertionError("it does not end")

    def check_end(self) -> None:
        assert (self.snapshot, self.content) == (None, None)
        assert self.disk is (self.twin is not None)


def world(*, policy: DeletionPolicy, shared: bool, finalizers: bool) -> World:
    content = Content("content", "C", "1", "driver", "disk", policy, "S", DATE)
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
    it.check_end()


@given(worlds)
def test_a_sweep_takes_four_writes_where_the_content_is_retain(it: World) -> None:
    assert it.content is not None
    extra = it.content.deletion_policy is DELETE
    wrote = it.live()
    if it.finalizers:
        it.snapshot_is_gone()
        wrote += it.live()
    assert wrote == (3 if it.twin is not None else 4) + extra
    it.check_end()


@given(worlds, WRITES)
def test_killed_after_any_write_the_next_process_goes_on_but_for_one_window(
    it: World, writes: int
) -> None:
    it.live(writes)
    # Between our DELETE and its proof: nothing shows whose the DELETE was.
    content = it.content
    window = it.deleted_by_us and content is not None and not content.is_proven
    it.finish()
    if window and not it.finalizers:
        assert (it.content, it.disk) == (content, True)
        assert it.plan().step is Step.FROZEN
    else:
        it.check_end()


@given(worlds, WRITES, st.booleans())
def test_what_a_person_holds_before_it_is_gone_keeps_its_disk_whatever_a_process_left(
    it: World, writes: int, looks: bool
) -> None:
    it.live(writes)
    if it.snapshot is None or it.content is None:
        return
    it.held = True  # and then it is deleted by hand, with or without a pass in between
    if looks or it.snapshot.deleting:
        it.live()
    elif it.content.deletion_policy is DELETE:
        return  # as its class made it: not our doing
    if not it.snapshot.deleting:
        it.snapshot_goes()
    it.finish()
    assert it.disk
    assert it.content is not None
    assert it.plan().step is Step.FROZEN


def hold(content: Content) -> Content:
    return replace(content, held=True)


def undate(content: Content) -> Content:
    return replace(content, delete_after=None)


def postpone(content: Content) -> Content:
    return replace(content, delete_after="2027-01-01")


@given(worlds, WRITES, st.sampled_from([hold, undate, postpone]))
def test_a_person_who_edits_a_content_whose_snapshot_is_gone_keeps_the_disk(
    it: World, writes: int, edit: Callable[[Content], Content]
) -> None:
    it.live(writes)
    if it.snapshot is not None or it.content is None:
        return
    it.content = edit(it.content)
    it.finish()
    assert it.disk
    assert it.content is not None


def lose_snapshot(it: World) -> None:
    it.snapshot_is_gone()


def rebind(it: World) -> None:
    if it.content is not None:
        it.twin = replace(it.content, name="rebound", uid="R", ref_uid="new")


@given(worlds, WRITES, st.sampled_from([lose_snapshot, rebind]))
def test_what_people_do_meanwhile_never_costs_a_disk_that_must_stay(
    it: World, writes: int, meddle: Callable[[World], None]
) -> None:
    if it.content is not None:
        it.content = replace(it.content, deletion_policy=RETAIN)
    it.live(writes)
    had_disk, ours = it.disk, it.deleted_by_us
    meddle(it)
    it.finish()
    if it.twin is not None or not ours:
        assert it.disk is had_disk
