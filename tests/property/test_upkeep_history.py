"""Any history of runs, edits, clocks, zones, restarts and passes, contents and disks included.

The world itself checks every write; here it is made to happen, and looked at in between.
"""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

from hypothesis import event, given, settings
from hypothesis import strategies as st
from tests.support.artifact_world import World
from tests.support.planned import planned

from backstay.domain.retention.points import Rules

VIENNA, APIA, LORD_HOWE = (
    ZoneInfo(zone) for zone in ("Europe/Vienna", "Pacific/Apia", "Australia/Lord_Howe")
)
RULES: list[Rules | None] = [
    Rules(zone=VIENNA, daily=2, weekly=1, failed=1),
    Rules(zone=VIENNA, daily=1),
    Rules(zone=APIA, daily=1, failed=1),
    Rules(zone=LORD_HOWE, hourly=3, monthly=2, yearly=1),
    Rules(zone=VIENNA, last=2, within=timedelta(hours=30), adhoc_days=1),
    Rules(zone=VIENNA),
    Rules.keep_everything(APIA),
    None,
]
HOURS = (1, 6, 13, 24, 24, 26, 49, 24 * 8)
CLOCKS = [timedelta(seconds=s) for s in (0, 0, 0, 45, -45, 3600, -86400, 3 * 86400)]
MOST_PASSES = 15
KINDS = [
    "day", "day", "day", "hours", "hours", "hours", "run", "edit", "edit", "edit", "rules",
    "clock", "die", "die", "meddle", "release", "use", "delete",
]  # fmt: skip
HISTORIES = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 7), st.integers(0, 31)),
    min_size=15,
    max_size=35,
)


class Story:
    """Makes the events of a history happen."""

    def __init__(self) -> None:
        self.world = World(RULES[0])
        self.had_good = False

    def report(self, kind: str, one: int, two: int) -> None:
        world = self.world
        match kind:
            case "run":
                self._run(one, two)
            case "day":
                world.true += timedelta(days=1, minutes=two)
                self._run(7, two)
                self._settle()
            case "hours":
                world.true += timedelta(hours=HOURS[one], minutes=two)
                if two % 4:
                    self._settle()
            case "edit":
                self._edit(one, two)
            case "rules":
                world.rules = RULES[one]
            case "clock":
                world.ahead = CLOCKS[one]
            case "die" | "meddle":
                self._disturb(kind, one, two)
            case "release":
                world.released = frozenset(h.plan for h in planned(world.look()).stopped.held)
            case "use":
                self._use(one, two)
            case _:
                self._delete(one, two)
        world.check()
        self._check_newest()

    def _disturb(self, kind: str, write: int, which: int) -> None:
        """A pass that dies before a write, or before one of whose writes a person edits."""
        if kind == "die":
            self.world.run_pass(dies_before=write)
            if which % 2:
                self.world.control()
        else:
            self.world.run_pass(meddle=(write, lambda: self._edit(which % 8, which)))

    def _check_newest(self) -> None:
        good = self.world.newest_good() is not None
        assert good or not self.had_good, "no good point is left"
        self.had_good = good

    def _settle(self) -> None:
        """Passes and controllers until nothing is left to do; then another pass does nothing."""
        world = self.world
        for _ in range(MOST_PASSES):
            wrote = world.run_pass()
            world.check()
            going = any(
                "deletionTimestamp" in obj["metadata"]
                for obj in (*world.snapshots.values(), *world.contents.values())
            )
            world.control()
            if not wrote and not going:
                break
        else:
            raise AssertionError("the passes never come to an end")
        assert world.run_pass() == 0
        world.check_settled()

    def _run(self, how: int, which: int) -> None:
        """Good, failed, never ready, late ready, or for a number of days."""
        world = self.world
        match how:
            case 0:
                world.end_run(world.start_run(), good=False, ready=bool(which % 2))
            case 1:
                world.lose_run(world.start_run())
            case 2:
                world.start_run()  # its end comes late, or never
            case 3:
                for run in sorted(world.running):
                    world.end_run(run.removeprefix("run-"), good=True, ready=True)
            case 4:
                world.end_run(world.start_run(days=which % 3), good=True, ready=True)
            case _:
                world.end_run(world.start_run(), good=True, ready=True)

    def _pick(self, which: int) -> str | None:
        """One that is not being deleted."""
        there = [
            name
            for name, snapshot in self.world.snapshots.items()
            if "deletionTimestamp" not in snapshot["metadata"]
        ]
        return there[which % len(there)] if there else None

    def _edit(self, how: int, which: int) -> None:
        world, name = self.world, self._pick(which)
        if name is None:
            return
        yesterday = (world.true - timedelta(days=1)).date().isoformat()
        match how:
            case 0:
                world.label(name, delete_after=None)
            case 1:
                world.label(name, delete_after=yesterday)
            case 2:
                world.label(name, hold="true")
            case 3:
                world.label(name, hold=None)
            case 4:
                world.label(name, daily=None, weekly=None)
            case 5:
                world.label(name, delete_after="soon")
            case 6:
                world.label(name, daily=yesterday, monthly="2026-13", team="red")
            case _:
                world.expose(name)

    def _use(self, how: int, which: int) -> None:
        if how % 2:
            self.world.requests.clear()
        elif (name := self._pick(which)) is not None:
            self.world.use(name, f"request-{how}")

    def _delete(self, how: int, which: int) -> None:
        """A person deletes a snapshot: any but the newest good one, which is a person's loss. It
        is gone at once, or lingers.
        """
        name = self._pick(which)
        if name is not None and name != self.world.newest_good():
            self.world.delete_by_hand(name)
            if how % 2:
                self.world.control()


@given(HISTORIES)
@settings(max_examples=60)
def test_no_history_loses_a_point_that_is_to_stay(history: list[tuple[str, int, int]]) -> None:
    story = Story()
    for kind, one, two in history:
        story.report(kind, one, two)
    story.report("hours", 0, 1)
    event(f"disks gone: {min(len(story.world.lost_disks), 3)}")
    event(f"marked: {bool(story.world.marked)}")
    event(f"died before a proof: {bool(story.world.unproven)}")
