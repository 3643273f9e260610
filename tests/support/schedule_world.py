"""A policy in memory, its records, and an operator that dies: who looks when, and what comes of it.

The operator is `domain.policy.decide` and the two writes of reconcile/policy.py, in their order.
What must always hold is asserted where it could break.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from backstay.api.common import changed
from backstay.api.policy import PolicySpec
from backstay.api.policy_status import PolicyStatus
from backstay.api.schedule import Blackout, MissedSlots, Schedule
from backstay.domain import naming, policy
from backstay.domain.calendar import load_zone
from backstay.domain.clock_skew import clock_off, slots_now
from backstay.domain.schedule import cron, policy_seen
from backstay.domain.schedule.early import EARLY, Named

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
RESTART = timedelta(minutes=10)
"""How long it takes until a process that died is there again."""
NAMESPACE, NAME = "shop", "shop"


@dataclass(slots=True)
class Run:
    """A scheduled run, its name, and when it ends."""

    slot: datetime
    name: str
    ends: datetime


@dataclass(slots=True)
class World:
    """See the module. `now` is the true time; the API server's clock is off by `wrong`, and the
    operator's from that by `skew`.
    """

    now: datetime
    spec: PolicySpec
    skew: timedelta = timedelta(0)
    wrong: timedelta = timedelta(0)
    ever_wrong: bool = False
    accounted: set[datetime] | None = None
    """Slots that were started or counted since this is a set."""
    run_lasts: timedelta = 5 * MINUTE
    alive: bool = True
    created: datetime = field(init=False)
    edited: datetime = field(init=False)
    status: PolicyStatus = field(init=False, default_factory=PolicyStatus)
    records: list[Run] = field(default_factory=list)
    artifacts: set[Named] = field(default_factory=set)
    """What the snapshots of the runs name."""
    missed: set[datetime] = field(default_factory=set)
    """Slots that this policy has counted."""
    next_look: datetime = field(init=False)
    promise: datetime | None = None
    """The moment at which the next run was said to start; None if something changed since."""
    dies_at_start: bool = False
    """The operator dies at its next start, after it made the Backup and before the status."""
    rescheduled: datetime = field(init=False)
    """When cron or zone were last edited, or the policy unsuspended."""
    begin: datetime = field(init=False)
    """The same, as far as the operator could see it: an edit that was taken back was none."""
    looked: PolicySpec | None = None

    def __post_init__(self) -> None:
        self.created = self.edited = self.next_look = self.rescheduled = self.begin = self.now

    @property
    def carriers(self) -> set[datetime]:
        """Slots that have run, at their time or before it."""
        return {named.slot for named in self.artifacts}

    @property
    def server(self) -> datetime:
        """What the API server takes for now."""
        return self.now + self.wrong

    # ---- people and faults ----------------------------------------------------------------

    def edit(self, spec: PolicySpec) -> None:
        if meaning(spec) != meaning(self.spec) or (self.spec.suspend and not spec.suspend):
            self.rescheduled = self.server
        self.spec, self.edited = spec, self.server
        self._disturb()

    def apply_again(self) -> None:
        """Delete the policy and apply it again: its status is lost, its artifacts are not."""
        self.created = self.edited = self.rescheduled = self.begin = self.server
        self.status, self.missed = PolicyStatus(), set()
        self._disturb()

    def delete_records(self) -> None:
        self.records = [r for r in self.records if r.ends > self.now]

    def set_clock(self, skew: timedelta) -> None:
        self.skew = skew
        self._disturb()

    def set_all_clocks(self, wrong: timedelta) -> None:
        """Have operator and API server be wrong together by so much."""
        self.wrong = wrong
        self.ever_wrong = self.ever_wrong or bool(wrong)
        self._disturb()

    def kill(self) -> None:
        self.alive = False
        self.promise = None

    def start(self) -> None:
        self.alive = True
        self._disturb()

    def _disturb(self) -> None:
        self.next_look, self.promise = self.now, None

    # ---- the operator ---------------------------------------------------------------------

    def pass_time(self, span: timedelta) -> None:
        """Let time pass; a living operator looks whenever it wanted to, or a run ends."""
        end = self.now + span
        while self.alive and (at := self._next_event()) <= end:
            self.now = max(self.now, at)
            self.look()
        self.now = end

    def _next_event(self) -> datetime:
        return min([self.next_look, *(r.ends for r in self.records if r.ends > self.now)])

    def look(self) -> None:
        """One reconcile."""
        now = slots_now(self.server + self.skew, self.skew)
        self._note_edits()
        decision = policy.decide(self._seen(now))
        if decision.slot is not None:
            self._start(decision.slot, now, again=decision.again)
        elif self.promise is not None and now >= self.promise:
            assert self._busy(), "nextRun was not true"
        if decision.slot is not None and self.dies_at_start:
            self.dies_at_start = False
            self.next_look, self.promise = self.now + RESTART, None
            return
        self._check_account(decision)
        # Through the wire form, as the API server keeps it: whole seconds.
        self.status = PolicyStatus.model_validate(decision.status.dump())
        promise = promised(decision.status)
        # The end of a run wakes its policy; polls are not modelled here.
        after = decision.after or DAY
        if after == policy.OVERLAP_POLL:
            after = max(promise - now, timedelta(0)) if promise is not None else DAY
            after = after or DAY
        self.next_look = self.now + after
        # One that is past waits for a run to end, and who knows when that is.
        self.promise = promise if promise is not None and promise > now else None

    def _busy(self) -> bool:
        return any(r.ends > self.now for r in self.records)

    def _note_edits(self) -> None:
        before, self.looked = self.looked, self.spec
        if before is not None and (
            meaning(before) != meaning(self.spec) or (before.suspend and not self.spec.suspend)
        ):
            self.begin = self.rescheduled

    def _seen(self, now: datetime) -> policy_seen.Seen:
        return policy_seen.Seen(
            now=now,
            created=self.created,
            generation=1,
            status=self.status,
            spec=self.spec,
            problem=None,
            runs=[
                policy_seen.RunSeen(r.name, r.slot, ended, None, complete=ended)
                for r in self.records
                for ended in [r.ends <= self.now]
            ],
            slots=list(self.artifacts),
            namespace=NAMESPACE,
            name=NAME,
            edited=self.edited,
            clock=clock_off(self.skew),
        )

    def _start(self, slot: datetime, now: datetime, *, again: int) -> None:
        wanted = self._wanted()
        assert bool(again) is (slot in self.carriers) or self.ever_wrong, "a slot runs once"
        assert slot not in self.missed, "what was counted as missed never runs"
        assert not self._busy(), "runs do not overlap"
        if not self.ever_wrong:
            assert slot > self.created, "a slot from before the policy was there"
            assert slot > self.begin, "a slot from before the schedule was changed or resumed"
        assert slot <= now, "a slot that is not due yet"
        assert not self.spec.suspend
        assert now <= slot + (wanted.jitter or timedelta(0)) + wanted.starting_deadline
        for window in wanted.blackouts:
            assert not in_window(window, wanted.time_zone, now), "a start in a blackout"
        if self.promise is not None:
            assert now == self.promise, "nextRun was not true"
        zone = load_zone(wanted.time_zone)
        names = naming.backup_names(NAME, slot, zone)
        if again:
            names = naming.backup_names_again(NAME, slot, zone, again)
        run = Named(slot, next((n for n in names if (slot, n) not in self._taken()), ""))
        assert run.run, "a slot runs once under each name"
        self.records.append(Run(slot, run.run, self.now + self.run_lasts))
        self.artifacts.add(run)
        self._account([slot])

    def _account(self, slots: list[datetime]) -> None:
        if self.accounted is not None:
            self.accounted.update(slots)

    def _taken(self) -> set[tuple[datetime, str]]:
        return {(named.slot, named.run) for named in self.artifacts}

    # ---- the account ----------------------------------------------------------------------

    def _check_account(self, decision: policy.Decision) -> None:
        """Every slot that lastSlot moves over has run or is counted, once."""
        wanted, status = self._wanted(), decision.status
        parsed = cron.Schedule.parse(wanted.cron, wanted.time_zone)
        for group in decision.missed if self.accounted is not None else ():
            self._account(slots_in(parsed, group.first - MINUTE, group.last))
        if self.ever_wrong:
            self.missed = set()  # what was counted by a wrong clock is taken back and counted again
            return
        begin = max(self.created, status.resumed_at or self.created)
        counted = max(begin, self.status.last_slot or begin)
        ours = []
        for group in decision.missed:
            if group.last > begin and not status.suspended:
                ours.append(group)
                continue
            # Of the schedule that was edited away, or suspended.
            old = cron.Schedule.of_meaning(self.status.schedule or "")
            assert old is not None
            self._count(self._slots_of(group, old))
        if status.suspended or status.last_slot is None or status.last_slot <= counted:
            assert ours == []
            return
        passed = slots_in(parsed, counted, status.last_slot)
        lost = [s for s in passed if s not in self.carriers]
        assert lost == [s for m in ours for s in self._slots_of(m, parsed)]
        self._count(lost)

    def _count(self, lost: list[datetime]) -> None:
        assert not self.missed.intersection(lost), "a slot is counted once"
        self.missed.update(lost)

    def _slots_of(self, group: MissedSlots, parsed: cron.Schedule) -> list[datetime]:
        found = slots_in(parsed, group.first - MINUTE, group.last)
        lost = [s for s in found if s not in self.carriers]
        assert len(lost) == group.count
        return lost

    def _wanted(self) -> Schedule:
        assert self.spec.schedule is not None
        return self.spec.schedule


def settled(world: World) -> list[datetime]:
    """Given a world whose clocks are right, let two days pass; return the slots that neither ran
    nor were counted, though their deadline is over.
    """
    world.set_all_clocks(timedelta(0))
    world.set_clock(timedelta(0))
    world.edit(changed(world.spec, suspend=False))
    world.start()
    world.run_lasts = MINUTE
    world.look()
    begin, world.accounted = world.now, set()
    world.pass_time(2 * DAY)
    wanted = world._wanted()
    # What a blackout outlasts is counted by the next look after its deadline.
    longest = wanted.starting_deadline + (wanted.jitter or timedelta(0)) + policy.LONGEST_WAIT
    end = world.now - longest - MINUTE
    parsed = cron.Schedule.parse(wanted.cron, wanted.time_zone)
    return sorted({*slots_in(parsed, begin + EARLY, end)} - world.accounted)


def meaning(spec: PolicySpec) -> str:
    """Given a spec with a schedule, return when its slots are, in words."""
    assert spec.schedule is not None
    return f"{spec.schedule.cron} {spec.schedule.time_zone}"


def promised(status: PolicyStatus) -> datetime | None:
    """Given a status, return the moment that its nextRun names, None if it names none."""
    if status.next_run is None or status.schedule is None:
        return None
    zone = load_zone(status.schedule.rpartition(" ")[2])
    local = datetime.fromisoformat(status.next_run).replace(tzinfo=zone)
    if local.utcoffset() != local.replace(fold=1).utcoffset():
        return None  # In an hour that comes twice it does not say which.
    return local.astimezone(UTC)


def in_window(window: Blackout, zone: str, moment: datetime) -> bool:
    """Given a window as a person wrote it, return whether a moment lies in it."""
    opens = cron.Schedule.parse(window.start, zone)
    return bool(slots_in(opens, moment - window.duration, moment))


def slots_in(parsed: cron.Schedule, after: datetime, until: datetime) -> list[datetime]:
    """Given a schedule and two moments, return its slots in (after, until], walking."""
    found: list[datetime] = []
    for slot in parsed.after(after):
        if slot > until:
            return found
        found.append(slot)
    return found


def with_schedule(spec: PolicySpec, **values: object) -> PolicySpec:
    """Given a spec with a schedule, return it with some fields of that changed."""
    assert spec.schedule is not None
    return changed(spec, schedule=changed(spec.schedule, **values))
