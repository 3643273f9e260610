"""Who may start: permits of pools are counted, and one run at a time has a claim or a target.

Invariants, for all runs of one complete list:

- A run starts with a permit of each of its pools or with none; no pool has more runs than its
  limit.
- A namespace holds at most its share of a pool: half of it, rounded up. So it never holds a whole
  pool of two or more, however long its runs take. Of a pool of one, the administrator's ceilings
  (domain/ceilings.py) say how long.
- Of two runs that share a claim or a target (of one namespace), the one due earlier goes first.
- Namespaces take turns: the oldest run of each, then the second of each; of these the namespace
  first that was served longest ago, then the run that is due first. A namespace with a thousand
  runs is no reason for others to wait.
- No run is starved. The first that waits for a full pool has one permit kept for it in every pool
  that it needs, so these only ever empty. One that waits for its namespace's share has that kept
  from younger runs of the namespace, and nothing from other namespaces.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from backstay.api.backup import BackupPhase, BackupStatus
from backstay.api.common import format_time
from backstay.api.plan import RunPlan
from backstay.domain.run.shared_places import Taken, places_of, waits_for_restores
from backstay.domain.run.status import retry_left

HOLDING: Final = frozenset({BackupPhase.DUMPING, BackupPhase.SNAPSHOTTING, BackupPhase.COPYING})
"""Phases that hold the run's claims, targets and permits; Uploading only waits for the driver."""

NAMED_AFTER: Final = timedelta(minutes=1)
"""Who holds a permit for longer is named to those who wait. Naming all would rewrite the status of
every run that waits each time that one ends."""
NAMES_MAX: Final = 3
SERVED_MAX: Final = 10_000
"""Namespaces come and go for years."""

GLOBAL: Final = "global"


def node_pool(node: str) -> str:
    """Given a node's name, return the pool of the runs that dump on it."""
    return f"node/{node}"


def driver_pool(driver: str) -> str:
    """Given a CSI driver's name, return the pool of the runs that take snapshots with it."""
    return f"driver/{driver}"


def is_driver_pool(pool: str) -> bool:
    """Given a pool, return whether it is a driver's: its permits are for taking snapshots only."""
    return pool.startswith(driver_pool(""))


@dataclass(frozen=True, slots=True)
class Limits:
    """How many permits a pool has, by the kind of pool."""

    everywhere: int
    node: int
    driver: int

    def of(self, pool: str) -> int:
        """Given a pool, return how many permits it has."""
        kind = pool.partition("/")[0]
        return {"node": self.node, "driver": self.driver}.get(kind, self.everywhere)

    def share(self, pool: str) -> int:
        """Given a pool, return how many of its permits one namespace may hold."""
        return (self.of(pool) + 1) // 2


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

    @property
    def holds(self) -> bool:
        """Whether it holds its claims, targets and permits."""
        return self.status.phase in HOLDING

    @property
    def pools(self) -> tuple[str, ...]:
        """The pools that it holds a permit of, or needs one of."""
        if self.holds:
            return self.status.pools
        return self.status.plan.pools if self.status.plan else ()


def claimed(plan: RunPlan | None) -> frozenset[tuple[str, str]]:
    """Given a plan, return what only one run of a namespace may have at a time: claims, targets
    of dumps and hooks, series of rolling copies, and directories that are uploaded.
    """
    if plan is None:
        return frozenset()
    hooks = (*plan.hooks.before, *plan.hooks.after) if plan.hooks else ()
    targets = [d.target for d in plan.dumps] + [h.target for h in hooks]
    claims = {("PersistentVolumeClaim", c.name) for c in plan.claims}
    copies = {("RollingCopy", c.series) for c in plan.rolling.copies} if plan.rolling else set()
    uploads = plan.repository.copies if plan.repository else ()
    directories = {("Upload", c.series) for c in uploads if c.node is not None}
    named = {(t.kind.value, t.name) for t in targets}
    return frozenset(claims | copies | directories | named)


def admit(
    runs: Iterable[Run],
    limits: Limits,
    now: datetime,
    served: Mapping[str, int] | None = None,
    taken: Sequence[Taken] = (),
) -> Mapping[tuple[str, str], str]:
    """Given all unfinished runs, which namespaces were served (see `serve`) and where restores
    write, return what each queued one that is due waits for, in the order of their turns; "": it
    may start now.
    """
    known = list(runs)
    line = sorted((r for r in known if _is_due(r, now)), key=lambda r: (r.due, r.namespace))
    holders = [r for r in known if r.holds]
    blocked = _blocked(holders, line) | _behind_restores(line, taken)
    permits = _Permits(limits, holders, now)
    waiting = [r for r in line if r.key not in blocked]
    turns = _by_turns(holders, waiting, served or {})
    return {r.key: permits.ask(r) for r in turns} | blocked


def serve(served: Mapping[str, int], verdicts: Mapping[tuple[str, str], str]) -> dict[str, int]:
    """Given in which order namespaces were served (a higher number: later) and what was decided
    now, return the order after it. It may be forgotten: then what is due first goes first.
    """
    found, last = dict(served), max(served.values(), default=0)
    for namespace in (at[0] for at, why in verdicts.items() if not why):
        last += 1
        found[namespace] = last
    newest = sorted(found, key=lambda name: found[name])[-SERVED_MAX:]
    return {name: found[name] for name in newest}


def next_look(
    runs: Iterable[Run], verdicts: Mapping[tuple[str, str], str], now: datetime
) -> timedelta | None:
    """Given all unfinished runs and what was decided on them, return when to decide again though
    nothing ends: a retry is due, or a waiting run is to learn who holds; None: not by time.
    """
    known = list(runs)
    moments = [r.status.retry_at for r in known if r.status.retry_at is not None]
    if any(verdicts.values()):
        moments += [
            r.status.attempted_at + NAMED_AFTER for r in known if r.holds and r.status.attempted_at
        ]
    return min((moment - now for moment in moments if moment > now), default=None)


def _blocked(holders: Sequence[Run], line: Sequence[Run]) -> dict[tuple[str, str], str]:
    """What those wait for whose claims and targets others have, or get before them."""
    busy: dict[Hashable, str] = {thing: r.name for r in holders for thing in _things(r)}
    found = {}
    for run in line:
        if blockers := {busy[thing] for thing in _things(run) if thing in busy}:
            found[run.key] = f"waiting for {', '.join(sorted(blockers)[:NAMES_MAX])}"
        for thing in _things(run):
            busy.setdefault(thing, run.name)
    return found


def _behind_restores(line: Sequence[Run], taken: Sequence[Taken]) -> dict[tuple[str, str], str]:
    """What those wait for that would read what a restore is writing: half of it is no backup."""
    found = {}
    for run in line if taken else ():
        if why := waits_for_restores(
            run.namespace, places_of(run.namespace, run.status.plan), taken
        ):
            found[run.key] = why
    return found


def _by_turns(
    holders: Sequence[Run], waiting: Sequence[Run], served: Mapping[str, int]
) -> list[Run]:
    """Those who wait, by how many older runs of their namespace hold permits or wait too.

    Younger ones do not count, though they may hold: a turn only ever comes nearer.
    """
    ahead: Counter[str] = Counter()
    turn: dict[tuple[str, str], int] = {}
    for run in sorted((*holders, *waiting), key=lambda r: (r.due, r.namespace)):
        turn[run.key] = ahead[run.namespace]
        ahead[run.namespace] += 1
    return sorted(
        waiting, key=lambda r: (turn[r.key], served.get(r.namespace, 0), r.due, r.namespace)
    )


@dataclass(slots=True)
class _Permits:
    """The permits of one pass: those that are held, and those that are given or kept in it."""

    limits: Limits
    holders: Sequence[Run]
    now: datetime
    taken: Counter[str] = field(default_factory=Counter)
    shares: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By namespace and pool: what the namespace holds."""
    kept: set[str] = field(default_factory=set)
    kept_shares: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        for run in self.holders:
            self._give(run)

    def ask(self, run: Run) -> str:
        """Given the run whose turn it is, give it its permits and return "", or keep them for it
        and return what it waits for.
        """
        mine = [(run.namespace, pool) for pool in run.pools]
        spent = [at for at in mine if self._used_share(at) >= self.limits.share(at[1])]
        full = [p for p in run.pools if self.taken[p] + (p in self.kept) >= self.limits.of(p)]
        if not spent and not full:
            self._give(run)
            return ""
        behind = [at[1] for at in mine if at in self.kept_shares]
        self.kept_shares.update(mine)
        if spent:
            pools = [pool for _, pool in spent]
            # Nothing is kept from other namespaces: they have their shares.
            return self._why(run, pools, behind, ", of which this namespace has its share")
        self.kept.update(run.pools)
        return self._why(run, full, behind, "")

    def _used_share(self, at: tuple[str, str]) -> int:
        return self.shares[at] + (at in self.kept_shares)

    def _give(self, run: Run) -> None:
        self.taken.update(run.pools)
        self.shares.update((run.namespace, pool) for pool in run.pools)

    def _why(self, run: Run, pools: Sequence[str], behind: Sequence[str], note: str) -> str:
        """What a run waits for. Only the first of a namespace learns who holds it: what all
        runs report must seldom change.
        """
        if all(pool in behind for pool in pools):
            names = ", ".join(pools[:NAMES_MAX])
            return f"waiting for a permit of {names}, behind older runs of this namespace"
        reported = (f"{pool}{self._held(run.namespace, pool)}" for pool in pools[:NAMES_MAX])
        return f"waiting for a permit of {'; and of '.join(reported)}{note}"

    def _held(self, namespace: str, pool: str) -> str:
        """Who holds permits of a pool for long, by name only where it is the namespace's own run:
        a tenant is not to learn the names of others.
        """
        since = {
            r.key: r.status.attempted_at
            for r in self.holders
            if pool in r.pools
            and r.status.attempted_at is not None
            and self.now - r.status.attempted_at >= NAMED_AFTER
        }
        own = sorted((at, key) for key, at in since.items() if key[0] == namespace)
        others = sorted(at for key, at in since.items() if key[0] != namespace)
        reported = [f"{'/'.join(key)} since {format_time(at)}" for at, key in own[:NAMES_MAX]]
        if own[NAMES_MAX:]:
            reported.append(f"{len(own) - NAMES_MAX} more of this namespace")
        if others:
            runs = "a run" if len(others) == 1 else f"{len(others)} runs"
            reported.append(f"{runs} of other namespaces since {format_time(others[0])}")
        return (
            f" ({self.limits.of(pool)} in all, held by {', '.join(reported)})" if reported else ""
        )


def _is_due(run: Run, now: datetime) -> bool:
    return run.status.phase is BackupPhase.QUEUED and not retry_left(run.status, now)


def _things(run: Run) -> list[Hashable]:
    return [(run.namespace, *thing) for thing in claimed(run.status.plan)]
