"""A whole store that keeps its points in memory: what a new store has to bring, and no more.

It copies nothing: a point says only what was there. What it shows is that runs, retention,
records and restores ask a store for nothing but its Protocols.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import ClassVar

from tests.support.memory_restores import MemoryStore as MemoryRestores

from backstay.api.backup import BackupStatus
from backstay.api.common import changed
from backstay.api.plan import PlannedPoint, RunPlan
from backstay.api.point import PointGone, PointResult, PointStatus
from backstay.domain import labels
from backstay.domain.errors import Transient
from backstay.domain.objects import Obj
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention import brakes
from backstay.domain.retention.expiry import until
from backstay.domain.retention.findings import Finding, Findings, Item, Looked, place_of
from backstay.domain.retention.from_spec import rules_of
from backstay.domain.retention.judge import judge, tiers_for_new
from backstay.domain.retention.points import Point, Rules, Verdict
from backstay.domain.run.status import pending, short, sources_able, with_point
from backstay.domain.run.values import POLL, Action, Decision, Seen, StoreAction
from backstay.domain.upkeep import Seen as PassSeen
from backstay.steps.access import Right
from backstay.stores.base import Draft

MEMORY = "Memory"
PATIENCE = timedelta(minutes=1)


@dataclass
class Memory:
    """What is remembered, by policy and name; `full`: nothing more is."""

    points: dict[tuple[str, str], dict[str, Point]] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    """By name of a point: the uid of its run."""
    full: bool = False


@dataclass(frozen=True)
class Remember(StoreAction):
    """Remember a source."""

    store: ClassVar[str] = MEMORY
    source: str
    ref: str


@dataclass(frozen=True)
class MemoryItem:
    """What one point needs."""

    place: tuple[str, str]
    verdict: Verdict

    @property
    def name(self) -> str:
        return self.verdict.point.name

    @property
    def patches(self) -> bool:
        return self.verdict.patches

    @property
    def acts(self) -> bool:
        return self.verdict.patches or self.verdict.sweep

    @property
    def due(self) -> bool:
        return self.verdict.sweep


class MemoryPlan:
    """See `domain.stores.base.StorePlan`."""

    name = MEMORY
    instant = False
    conditions = frozenset({brakes.CONDITION})

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def begin(self, seen: Seen, status: BackupStatus, /) -> BackupStatus:
        for source in sources_able(status, MEMORY):
            entry = PointStatus(
                source=source,
                store=MEMORY,
                ref=f"{seen.name}-{source}-{status.attempt}",
                attempt=status.attempt,
                result=PointResult.PENDING,
                requested_at=seen.now,
            )
            status = with_point(status, entry)
        return status

    def judge(self, status: BackupStatus) -> BackupStatus:
        return status

    def follow(self, seen: Seen) -> Decision:
        status, actions, known = seen.status, list[Action](), seen.sights.get(MEMORY)
        for entry in pending(status, MEMORY):
            point = known.get(entry.ref) if isinstance(known, dict) else None
            if point is not None:
                made = {"result": PointResult.GOOD, "taken_at": point.taken, "bytes": 1}
                status = with_point(status, changed(entry, **made, message=None))
            else:
                actions.append(Remember(entry.source, entry.ref or ""))
        return Decision(status, tuple(actions), POLL)

    def give_up(self, status: BackupStatus, why: str) -> BackupStatus:
        for entry in pending(status, MEMORY):
            failed = changed(entry, result=PointResult.FAILED, message=short(why))
            status = with_point(status, failed)
        return status

    def deadlines(self, status: BackupStatus) -> tuple[datetime, ...]:
        asked = (p.requested_at for p in pending(status, MEMORY))
        return tuple(at + PATIENCE for at in asked if at is not None)

    def clean_up(self, _: BackupStatus, /) -> tuple[Action, ...]:
        return ()

    def look(self, seen: PassSeen) -> Looked | None:
        points = self._memory.points.get(seen.place, {})
        if seen.spec is None and not points:
            return None
        rules = rules_of(seen.spec, MEMORY) if seen.spec is not None else None
        verdicts: list[Verdict] = []
        held: list[brakes.Held] = []
        for claim in sorted({p.claim for p in points.values()}):
            mine = [p for p in points.values() if p.claim == claim]
            found, stopped = brakes.hold_back(
                judge(mine, rules, seen.now), clock=seen.clock, frozen=[], released=()
            )
            verdicts += found
            held += [stopped] if stopped else []
        said = () if seen.policy is None else (self._held(seen.policy, held),)
        return Looked(
            Findings(
                said,
                self._shown(verdicts, rules, seen.now),
                self._alive(points),
                {run.uid: _gone(run, points) for run in seen.runs},
            ),
            rules,
            [MemoryItem(seen.place, verdict) for verdict in verdicts],
        )

    def _held(self, policy: Obj, held: Sequence[brakes.Held]) -> Finding:
        brake = brakes.mass_mark(held, *place_of(policy))
        return Finding(brakes.CONDITION, brake, brakes.NOT_HELD)

    def _shown(
        self, verdicts: Sequence[Verdict], rules: Rules | None, now: datetime
    ) -> dict[str, tuple[Point, str]]:
        return {
            f"{v.point.claim}@{v.point.name}": (v.after, until(v.after, rules, now, last=v.last))
            for v in verdicts
        }

    def _alive(self, points: dict[str, Point]) -> frozenset[str]:
        return frozenset(self._memory.runs[name] for name in points)


def _gone(run: Run, points: dict[str, Point]) -> list[PointStatus]:
    """The good points of a run that are remembered no more."""
    mine = (p for p in run.status.points if p.store == MEMORY and not p.gone)
    lost = (p for p in mine if p.result is PointResult.GOOD and p.ref not in points)
    return [changed(p, gone=PointGone.SWEPT) for p in lost]


class MemoryKeeper:
    """See `stores.base.Keeper`."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def report(self, policy: Obj | None, items: Sequence[Item], /) -> None:
        """There is nothing to report."""

    async def carry_out(self, item: Item, /) -> bool:
        assert isinstance(item, MemoryItem)
        points = self._memory.points[item.place]
        if item.verdict.sweep:
            del points[item.name]
        else:
            points[item.name] = item.verdict.after
        return item.due

    async def is_gone(self, run: Run, /) -> bool:
        known = {name for points in self._memory.points.values() for name in points}
        return not any(p.ref in known for p in run.status.points if p.store == MEMORY)


class MemoryStore:
    """See `stores.base.Store`."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.plan = MemoryPlan(memory)
        self.keeper = MemoryKeeper(memory)
        self.restores = MemoryRestores()

    async def extend(self, draft: Draft) -> RunPlan:
        points = (PlannedPoint(source=n, store=MEMORY, claim=n) for n in draft.source.claims)
        return changed(draft.plan, points=(*draft.plan.points, *points))

    def rights(self, namespace: str, plan: RunPlan) -> Iterable[Right]:
        del namespace, plan
        return ()

    async def look(self, run: Run, _: datetime, /) -> object:
        return self.memory.points.get((run.namespace, run.spec.policy), {})

    async def act(self, run: Run, seen: Seen, action: StoreAction, /) -> None:
        assert isinstance(action, Remember)
        if self.memory.full:
            raise Transient("the memory is full")
        planned = seen.status.plan.points if seen.status.plan else ()
        days = next(p.keep_days for p in planned if p.key == (action.source, MEMORY))
        carried = {labels.RESULT: labels.Result.GOOD.value, labels.RETAIN: "daily_weekly_monthly"}
        if days is not None:
            carried |= {labels.RETAIN: labels.Retain.DAYS.value, labels.RETAIN_DAYS: str(days)}
        new = Point(
            namespace=run.namespace,
            name=action.ref,
            uid=action.ref,
            resource_version="1",
            claim=action.source,
            taken=seen.now,
            ready=True,
            labels=carried,
        )
        mine = self.memory.points.setdefault((run.namespace, run.spec.policy), {})
        others = [p for p in mine.values() if p.claim == action.source]
        tiers = tiers_for_new(others, new, None, seen.now)
        mine[action.ref] = replace(new, labels={**carried, **tiers})
        self.memory.runs[action.ref] = run.uid

    def forget(self, _: str, /) -> None:
        """Nothing is remembered of runs."""
