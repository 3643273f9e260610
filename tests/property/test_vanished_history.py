"""Any history with another pruner in it: what it takes is reported, what a sweep of ours takes is
not.

The process may die before any write, and a person may edit or delete between any two.
"""

from __future__ import annotations

from hypothesis import event, given, settings
from hypothesis import strategies as st
from tests.property.test_upkeep_history import KINDS, MOST_PASSES, RULES, Story
from tests.support.recorded_world import RecordedWorld

TAKES = ["take"] * 6 + ["accept"] * 2
HISTORIES = st.lists(
    st.tuples(st.sampled_from([*KINDS, *TAKES]), st.integers(0, 7), st.integers(0, 31)),
    min_size=15,
    max_size=35,
)


class RecordedStory(Story):
    """Makes the events of a history happen in a world with records."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded = RecordedWorld(RULES[0])
        self.world = self.recorded

    def report(self, kind: str, one: int, two: int) -> None:
        if kind == "accept":
            self.recorded.accept()
            self.recorded.run_pass(dies_before=one)
        elif kind != "take":
            super().report(kind, one, two)
        elif one % 2:
            self.recorded.run_pass(meddle=(one, lambda: self._take(two)))
        else:
            self._take(two)

    def _take(self, which: int) -> None:
        """Any but the newest good one, which is what the other checks rest on."""
        name = self._pick(which)
        if name is not None and name != self.recorded.newest_good():
            self.recorded.take(name)

    def _settle(self) -> None:
        """Passes and controllers until neither finds anything to do."""
        world = self.recorded
        for _ in range(MOST_PASSES):
            wrote = world.run_pass()
            world.check()
            there = len(world.snapshots), len(world.contents)
            world.control()
            if not wrote and there == (len(world.snapshots), len(world.contents)):
                break
        else:
            raise AssertionError("the passes never come to an end")
        assert world.run_pass() == 0
        world.check_settled()
        world.check_records()


@given(HISTORIES)
@settings(max_examples=60)
def test_a_loss_is_always_reported_and_a_sweep_never(history: list[tuple[str, int, int]]) -> None:
    story = RecordedStory()
    for kind, one, two in history:
        story.report(kind, one, two)
    story.report("hours", 0, 1)
    world = story.recorded
    event(f"taken: {min(len(world.taken), 3)}, accepted: {bool(world.accepted)}")
    event(f"swept: {min(len(world.swept), 3)}")
