"""Rolling copies as the operator is wired for them, with what the tests' administrator allows."""

from __future__ import annotations

from typing import cast

from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.settings import Ceilings, DestinationRoot, RollingRoots, SourceRoot
from backstay.steps.agent_jobs import AgentImage, AgentJobs
from backstay.steps.dumps import Dumping
from backstay.stores.base import Store
from backstay.stores.copies.take import Copying
from backstay.stores.planning import Planner
from backstay.stores.registry import stores_of

HOME = "backstay"
"""The operator's namespace."""
EVERYONE = ("*",)
ROOTS = RollingRoots(
    sources=(SourceRoot(namespaces=EVERYONE, path="/srv", restore=True),),
    destinations=(DestinationRoot(namespaces=EVERYONE, path="/backup"),),
)


def copying(client: Client, roots: RollingRoots = ROOTS, home: str = HOME) -> Copying:
    jobs = AgentJobs(client, AgentImage("backstay:test", "IfNotPresent"))
    return Copying(client, jobs, roots, home)


def stores(client: Client, making: Copying | None = None) -> tuple[Store, ...]:
    """All stores, where nothing is dumped."""
    clock = SystemClock()
    return stores_of(
        client,
        clock,
        EventPoster(client, clock),
        dumping=cast(Dumping, None),
        copying=making or copying(client),
    )


def planner(client: Client, making: Copying | None = None) -> Planner:
    """What makes the plans of runs where nothing is dumped."""
    return Planner(client, stores(client, making), Ceilings())
