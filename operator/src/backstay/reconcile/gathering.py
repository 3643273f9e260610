"""Read what retention rests on: of one policy, or of all of them in one paged LIST per kind.

Both forms fill a `World` and ask it what a pass has to see, so they have one result.

Invariants, in both forms: what refers to others is read first (snapshots before the runs and
requests that they name, runs before the contents that they name), so what is being made is never
taken for gone; a LIST that fails half way raises, and nothing is planned on the half.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from functools import partial
from typing import Any

from backstay.api.restore_status import FINAL_RESTORE_PHASES
from backstay.domain import labels, naming, upkeep
from backstay.domain.clock import Clock
from backstay.domain.objects import Obj, dig
from backstay.engine.group import run_together
from backstay.kube.client import Client
from backstay.kube.resources import (
    BACKUP,
    BACKUP_POLICY,
    BACKUP_REPOSITORY,
    RESTORE_REQUEST,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
)
from backstay.reconcile import keys, passes
from backstay.reconcile.world import Place, World
from backstay.steps.batch import each

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
UNFINISHED = keys.not_in(FINAL_RESTORE_PHASES)


async def gather(client: Client, clock: Clock, place: Place) -> upkeep.Seen:
    """Given a policy's address, read all that its pass rests on.

    Raise UserError if the policy is not valid, and what the reads raise.
    """
    world, namespace = await read(client, place), place[0]

    async def ask(snapshot: str) -> None:
        found = await client.find(VOLUME_SNAPSHOT, snapshot, namespace)
        world.add_unlabelled([found] if found is not None else [])

    async def find(content: str) -> None:
        found = await client.find(VOLUME_SNAPSHOT_CONTENT, content)
        world.add_contents([found] if found is not None else [])

    # Before the contents: snapshots that are found here name theirs.
    await each(client, (partial(ask, name) for name in world.unfound(place)))
    # By name: contents have no namespace, so a LIST would look at those of the whole cluster.
    await each(client, (partial(find, name) for name in sorted(world.content_names(place))))
    # The clocks after the reads: what the API server says the time is comes with its answers.
    return await asyncio.to_thread(passes.seen, world, place, clock.now(), client.clock_brake())


async def read(client: Client, place: Place) -> World:
    """Given a policy's address, read all that its pass rests on but the contents."""
    namespace, name = place
    world = World()
    policy = await client.find(BACKUP_POLICY, name, namespace)
    world.add_policies([policy] if policy is not None else [])
    selector = f"{labels.POLICY}={naming.label_value(name)}"
    # A snapshot is made after its Backup: read in this order, one that is there has its run.
    world.add_snapshots(await client.list(VOLUME_SNAPSHOT, namespace, labels=selector))
    world.add_backups(await client.list(BACKUP, namespace, fields=f"spec.policy={name}"))
    # After the Backups: a Job that forgets is announced here before its outcome is written there.
    for repository in sorted(world.repository_names(place)):
        obj = await client.find(BACKUP_REPOSITORY, repository, namespace)
        world.add_repositories([obj] if obj is not None else [])
    # Last: whoever claims a point by `in-use` above is in this list, unless that is over.
    world.add_requests(await client.list(RESTORE_REQUEST, namespace, fields=UNFINISHED))
    return world


async def gather_all(client: Client) -> World:
    """Read everything that any pass rests on: one paged LIST per kind, trimmed page by page.

    Each LIST shows one moment, that of its first page. So a kind is begun when the first page of
    the one before is there, and their pages come side by side. What is found is to be read again
    before anything is written on its strength.
    """
    world = World()
    begun = asyncio.Event()
    begun.set()

    def collect(
        add: Callable[[Iterable[Obj]], None], pages: AsyncIterator[list[Obj]]
    ) -> Coroutine[Any, Any, None]:
        nonlocal begun
        # Each waits for the event of the one before, in the order in which they are given.
        turn, begun = begun, asyncio.Event()
        return _collect(add, pages, turn, begun)

    await run_together(
        collect(world.add_policies, client.pages(BACKUP_POLICY)),
        collect(world.add_snapshots, client.pages(VOLUME_SNAPSHOT, labels=labels.POLICY)),
        collect(world.add_backups, client.pages(BACKUP)),
        collect(world.add_requests, client.pages(RESTORE_REQUEST, fields=UNFINISHED)),
        collect(world.add_repositories, client.pages(BACKUP_REPOSITORY)),
        collect(world.add_contents, client.pages(VOLUME_SNAPSHOT_CONTENT)),
    )
    # All kinds are read: only now it is known which contents are named.
    await asyncio.to_thread(world.forget_others)
    return world


async def _collect(
    add: Callable[[Iterable[Obj]], None],
    pages: AsyncIterator[list[Obj]],
    turn: asyncio.Event,
    begun: asyncio.Event,
) -> None:
    await turn.wait()
    async for page in pages:
        # A kind without objects has a page too, so the next one never waits for ever.
        begun.set()
        for obj in page:
            # Before it is kept: what no plan rests on is in memory for one page at a time only.
            trim(obj)
        add(page)


def trim(obj: Obj) -> None:
    """Given an object as read, take away what no plan rests on: who wrote it, and how; of a run
    its dumps, and its plan but where that means rolling copies.
    """
    metadata = obj["metadata"]
    metadata.pop("managedFields", None)
    metadata.get("annotations", {}).pop(LAST_APPLIED, None)
    if obj["kind"] == BACKUP.kind:
        for key in ("dumps",) if dig(obj, "status", "plan", "rolling") else ("plan", "dumps"):
            obj.get("status", {}).pop(key, None)
