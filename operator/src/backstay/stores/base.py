"""What a store is: a plan that is pure, and its twin that reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from backstay.api.plan import RunPlan
from backstay.api.policy import PolicySpec
from backstay.domain.clock import Clock
from backstay.domain.errors import BackstayError
from backstay.domain.objects import Obj
from backstay.domain.records.lifecycle import Run
from backstay.domain.restore.protocols import RestoreStore
from backstay.domain.retention.findings import Item
from backstay.domain.run.values import Seen, StoreAction
from backstay.domain.stores.base import StorePlan
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.settings import RollingRoots
from backstay.sources.base import Resolved
from backstay.steps.access import Right
from backstay.steps.agent_jobs import AgentJobs
from backstay.steps.consistency import Probe
from backstay.steps.dumps import Dumping


@dataclass(frozen=True, slots=True)
class Draft:
    """The plan of a run in the making, with what was read for it."""

    namespace: str
    policy: str
    spec: PolicySpec
    plan: RunPlan
    """With claims, dumps and hooks, and the points of the stores asked before."""
    source: Resolved
    """With the claims of the dumps."""
    pods: Mapping[str, Sequence[Obj]]
    """By dump: the running pods of its target."""
    held: Sequence[Collection[str]] = ()
    """Of each hook that freezes, the claims of the run that its pod has now."""
    probe: Probe | None = None
    """Asks containers what they keep where."""
    begins: bool = False
    """A run begins by it: what may come later, and what only one store lacks, is no problem yet."""


@contextmanager
def errors_of(store: Store) -> Iterator[None]:
    """Have what a store raises carry its name: only its points fail where that is for good."""
    # Around each call by its caller, so that no store can forget it.
    try:
        yield
    except BackstayError as error:
        # Set, not wrapped: what is done next goes by the type of the error.
        error.store = store.plan.name
        raise


@dataclass(frozen=True, slots=True)
class Tools:
    """What stores work with."""

    client: Client
    clock: Clock
    events: EventPoster
    dumping: Dumping
    jobs: AgentJobs
    roots: RollingRoots
    """What the administrator allows Jobs to mount."""
    home: str
    """The operator's namespace."""
    wake_pass: Callable[[str, str], None]
    """Has a policy's copies looked at, by its namespace and name."""
    wake_repository: Callable[[str, str], None]
    """Has a BackupRepository looked at, by its namespace and name."""


class Keeper(Protocol):
    """Carries out what a retention pass has decided on the points of a store."""

    async def report(self, policy: Obj | None, items: Sequence[Item], /) -> None:
        """Post Events of what a person should know of what the points of a policy need."""
        ...

    async def carry_out(self, item: Item, /) -> bool:
        """Take one point a step further; return whether its removal goes on.

        Raise Conflict if it changed since it was read.
        """
        ...

    async def is_gone(self, run: Run, /) -> bool:
        """Return whether nothing is left of a finished run, asked for by name."""
        ...


class Store(Protocol):
    """A store, to be registered in `registry.py`."""

    @property
    def plan(self) -> StorePlan:
        """Its pure twin."""
        ...

    @property
    def keeper(self) -> Keeper | None:
        """What works on its points between runs; None: Jobs do (reconcile/copies.py)."""
        ...

    @property
    def restores(self) -> RestoreStore:
        """Its side of a restore."""
        ...

    async def extend(self, draft: Draft) -> RunPlan:
        """Return the plan with this store's points, as it is where the policy does not ask for it.

        Raise UserError, naming the field and the remedy, if the policy cannot be run as it stands.
        """
        ...

    def rights(self, namespace: str, plan: RunPlan) -> Iterable[Right]:
        """Return what the operator must be allowed to do for this store's points of a plan."""
        ...

    async def look(self, run: Run, now: datetime, /) -> object:
        """Return what the next step of this store's points of a run rests on; None: nothing yet."""
        ...

    async def act(self, run: Run, seen: Seen, action: StoreAction, /) -> None:
        """Carry out one action of this store."""
        ...

    def forget(self, uid: str, /) -> None:
        """Forget the run of this uid, which is over."""
        ...
