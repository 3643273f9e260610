"""Who may start: slots of pools are counted, and one run at a time has a claim or a target.

Invariants, for all runs of one complete list:

- A run starts with a slot of each of its pools or with none; no pool has more runs than its limit.
- Of two runs that share a claim or a target (of one namespace), the one due earlier goes first.
- None is starved: the oldest run that waits for a slot has one kept for it in every pool that it
  needs, so the pools that are full for it only ever empty. A younger run takes what that leaves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from backstay.api.backup import BackupPhase, BackupStatus, RunPlan
from backstay.domain.run_status import retry_left

HOLDING: Final = frozenset({BackupPhase.DUMPING, BackupPhase.SNAPSHOTTING, BackupPhase.COPYING})
"""Phases that hold the run's claims, targets and slots; Uploading only waits for the driver."""

GLOBAL: Final = "global"


def node_pool(node: str) -> str:
    """Given a node's name, return the pool of the runs that dump on it."""
    return f"node/{node}"


def driver_pool(driver: str) -> str:
    """Given a CSI driver's name, return the pool of the runs that cut with it."""
    return f"driver/{driver}"


@dataclass(frozen=True, slots=True)
class Limits:
    """How many runs a pool has slots for, by the kind of pool."""

    everywhere: int
    node: int
    driver: int

    def of(self, pool: str) -> int:
        """Given a pool, return how many slots it has."""
        kind = pool.partition("/")[0]
        return {"node": self.node, "driver": self.driver}.get(kind, self.everywhere)


@dataclass(frozen=True, slots=True)
class Run:
    """What the admitter knows of an unfinished run."""

    namespace: str
    name: str
    due: tuple[datetime, str]
    status: BackupStatus

    @property
    def key(self) -> tuple[str, str]:
        """Its address."""
        return self.namespace, self.name


def claimed(plan: RunPlan | None) -> frozenset[tuple[str, str]]:
    """Given a plan, return what only one run of a namespace may have at a time: claims, targets
    of dumps and hooks, and series of rolling copies.
    """
    if plan is None:
        return frozenset()
    hooks = (*plan.hooks.before, *plan.hooks.after) if plan.hooks else ()
    targets = [d.target for d in plan.dumps] + [h.target for h in hooks]
    claims = {("PersistentVolumeClaim", c.name) for c in plan.claims}
    copies = {("RollingCopy", c.series) for c in plan.rolling.copies} if plan.rolling else set()
    return frozenset(claims | copies | {(t.kind.value, t.name) for t in targets})


def admit(runs: Iterable[Run], limits: Limits, now: datetime) -> Mapping[tuple[str, str], str]:
    """Given all unfinished runs, return what each queued one that is due waits for, in the order
    of their turns; "": it may start now.
    """
    known = list(runs)
    taken: Counter[str] = Counter()
    busy: dict[Hashable, str] = {}
    for run in known:
        if run.status.phase in HOLDING:
            taken.update(run.status.pools)
            busy.update(dict.fromkeys(_things(run), run.name))
    kept: set[str] = set()
    verdicts: dict[tuple[str, str], str] = {}
    for run in sorted((r for r in known if _is_due(r, now)), key=lambda r: (r.due, r.namespace)):
        pools = run.status.plan.pools if run.status.plan else ()
        blockers = {busy[thing] for thing in _things(run) if thing in busy}
        full = [p for p in pools if taken[p] + (p in kept) >= limits.of(p)]
        if blockers:
            verdicts[run.key] = f"waiting for {', '.join(sorted(blockers)[:3])}"
        elif full:
            verdicts[run.key] = f"waiting for a slot of {', '.join(full[:3])}"
            kept.update(pools)
        else:
            verdicts[run.key] = ""
            taken.update(pools)
        for thing in _things(run):
            busy.setdefault(thing, run.name)
    return verdicts


def _is_due(run: Run, now: datetime) -> bool:
    return run.status.phase is BackupPhase.QUEUED and not retry_left(run.status, now)


def _things(run: Run) -> list[Hashable]:
    return [(run.namespace, *thing) for thing in claimed(run.status.plan)]
