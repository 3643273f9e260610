"""Rolling copies as the operator is wired for them, with what the tests' administrator allows."""

from __future__ import annotations

from backstay.kube.client import Client
from backstay.settings import DestinationRoot, RollingRoots, SourceRoot
from backstay.steps.agent_jobs import AgentImage, AgentJobs
from backstay.stores.copies.take import Copying

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
