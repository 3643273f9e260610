"""Rolling copies as the operator is wired for them, with what the tests' administrator allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.settings import Ceilings, DestinationRoot, RollingRoots, SourceRoot
from backstay.steps.agent_jobs import AgentImage, AgentJobs
from backstay.steps.dumps import Dumping
from backstay.stores.base import Store, Tools
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


def stores(client: Client, roots: RollingRoots = ROOTS) -> Sequence[Store]:
    """All stores, where nothing is dumped."""
    clock = SystemClock()
    jobs = AgentJobs(client, AgentImage("backstay:test", "IfNotPresent"))
    events, nothing = EventPoster(client, clock), cast(Dumping, None)
    return stores_of(
        Tools(client, clock, events, nothing, jobs, roots, HOME, lambda *_: None, lambda *_: None)
    )


def planner(client: Client, roots: RollingRoots = ROOTS) -> Planner:
    """What makes the plans of runs where nothing is dumped."""
    return Planner(client, stores(client, roots), Ceilings())
