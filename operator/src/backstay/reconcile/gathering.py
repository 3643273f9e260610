"""Read what retention rests on: of one policy, or of all of them in one paged LIST per kind.

Both forms fill a `World` and ask it what a pass has to see, so they have one result.

Invariants, in both forms: what refers to others is read first (snapshots before the runs and
requests that they name, runs before the contents that they name), so what is being made is never
taken for gone; a LIST that fails half way raises, and nothing is planned on the half.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, TypeAlias

from backstay.api.backup import FINAL_PHASES, PointResult
from backstay.api.restore import FINAL_RESTORE_PHASES
from backstay.api.store import StoreKind
from backstay.domain import labels, naming, objects
from backstay.domain.clock import Clock
from backstay.domain.errors import DataError
from backstay.domain.objects import Obj, dig
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention import brakes, replaced
from backstay.domain.retention.shrinkage import accepted_sizes
from backstay.domain.stores.snapshots.carriers import identity, rules_of
from backstay.domain.stores.snapshots.orphans import Census, is_ours
from backstay.domain.stores.snapshots.upkeep import Seen, is_leaving
from backstay.domain.stores.snapshots.users import named_by_claims, named_by_requests
from backstay.engine.group import run_together
from backstay.kube.client import Client
from backstay.kube.resources import (
    BACKUP,
    BACKUP_POLICY,
    PERSISTENT_VOLUME_CLAIM,
    RESTORE_REQUEST,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
)
from backstay.reconcile import keys
from backstay.reconcile.runs import parse, parse_policy_spec
from backstay.steps.batch import each
from backstay.steps.conditions import policy_status

Place: TypeAlias = tuple[str, str]
"""Namespace and name of a policy, which may be gone."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
UNFINISHED = keys.not_in(FINAL_RESTORE_PHASES)


class World:
    """What was read of any number of policies."""

    def __init__(self) -> None:
        self.policies: dict[Place, Obj] = {}
        self.backups: dict[Place, list[Obj]] = {}
        self.requests: list[Obj] = []
        self._snapshots: dict[Place, list[Obj]] = {}
        self._contents: dict[str, Obj] = {}
        self._unlabelled: list[Obj] = []

    def add_policies(self, found: Iterable[Obj]) -> None:
        """Given policies, add them."""
        for obj in found:
            self.policies[objects.namespace(obj), objects.name(obj)] = obj

    def add_snapshots(self, found: Iterable[Obj]) -> None:
        """Given snapshots of ours, add them."""
        for obj in found:
            place = objects.namespace(obj), identity(obj, labels.POLICY)
            self._snapshots.setdefault(place, []).append(obj)

    def add_unlabelled(self, found: Iterable[Obj]) -> None:
        """Given snapshots that records name and that were found by name only, add them."""
        self._unlabelled += found

    def add_backups(self, found: Iterable[Obj]) -> None:
        """Given Backups, finished or not, add them."""
        for obj in found:
            place = objects.namespace(obj), str(dig(obj, "spec", "policy", default=""))
            self.backups.setdefault(place, []).append(obj)

    def add_requests(self, found: Iterable[Obj]) -> None:
        """Given RestoreRequests that are not finished, add them."""
        self.requests += found

    def add_contents(self, found: Iterable[Obj]) -> None:
        """Given contents, of ours or of others, add them."""
        for obj in found:
            self._contents[objects.name(obj)] = obj

    def forget_others(self) -> None:
        """Forget contents that are not ours: neither named by anything, nor labelled, nor named as
        our runs name them.
        """
        named = {name for place in self.places() for name in self.content_names(place)}
        for name, content in list(self._contents.items()):
            if name not in named and not is_ours(content):
                del self._contents[name]

    def places(self) -> list[Place]:
        """Return every policy that exists or of which an artifact or a record speaks."""
        return sorted({*self.policies, *self._snapshots, *self.backups})

    def keeps_copies(self, place: Place) -> bool:
        """Given a policy, return whether it keeps rolling copies, or has records of some."""
        return bool(
            dig(self.policies.get(place), "spec", "rolling")
            or any(dig(b, "status", "plan", "rolling") for b in self.backups.get(place, ()))
        )

    def content_names(self, place: Place) -> set[str]:
        """Given a policy, return the contents that its snapshots and its finished runs name."""
        unlabelled = (s for s in self._unlabelled if objects.namespace(s) == place[0])
        bound = {
            dig(s, "status", "boundVolumeSnapshotContentName")
            for s in (*self._snapshots.get(place, ()), *unlabelled)
        }
        recorded = {
            dig(point, "snapshot", "content")
            for backup in self.backups.get(place, ())
            for point in dig(backup, "status", "points", default=())
        }
        return {name for name in bound | recorded if name}

    def unfound(self, place: Place) -> list[str]:
        """Given a policy, return the snapshots that its finished runs tell as good and there, and
        that were not found by our label: one that was taken off by hand must not look like a loss.
        """
        labelled = {objects.name(s) for s in self._snapshots.get(place, ())}
        told = {
            point.get("ref")
            for backup in self.backups.get(place, ())
            if dig(backup, "status", "phase") in FINAL_PHASES
            for point in dig(backup, "status", "points", default=())
            if point.get("store") == StoreKind.SNAPSHOT
            and point.get("result") == PointResult.GOOD
            and not point.get("gone")
        }
        return sorted(name for name in told - labelled if name)

    def versions(self, place: Place) -> frozenset[tuple[str, str]]:
        """Given a policy, return uid and resourceVersion of all that its pass rests on."""
        policy = self.policies.get(place)
        contents = (self._contents.get(name) for name in self.content_names(place))
        return frozenset(
            (objects.uid(obj), objects.version(obj))
            for obj in (
                *([policy] if policy is not None else []),
                *self._snapshots.get(place, ()),
                *self.backups.get(place, ()),
                *(r for r in self.requests if objects.namespace(r) == place[0]),
                *(content for content in contents if content is not None),
            )
        )

    def leaving(self) -> list[str]:
        """Return the contents whose snapshot a sweep takes or took, as far as this look can say."""
        uids = {
            objects.uid(s)
            for found in self._snapshots.values()
            for s in found
            if not dig(s, "metadata", "deletionTimestamp")
        }
        return [
            name
            for name, content in self._contents.items()
            if dig(content, "spec", "volumeSnapshotRef", "uid") not in uids and _leaves(content)
        ]

    def census(self) -> Census:
        """Return what counts the orphans among the contents."""
        census = Census()
        for snapshot in (s for found in self._snapshots.values() for s in found):
            census.see_snapshot(snapshot)
        for content in self._contents.values():
            census.see_content(content)
        return census

    def seen(self, place: Place, now: datetime, brake: brakes.Brake | None = None) -> Seen:
        """Given a policy, now and whether our clock is off, return what its pass rests on.

        Raise UserError if the policy is not valid, DataError if what was read is not.
        """
        policy = self.policies.get(place)
        notes = objects.annotations(policy) if policy is not None else {}
        runs = [parse(b) for b in self.backups.get(place, ())]
        names = self.content_names(place)
        return Seen(
            now=now,
            rules=rules_of(parse_policy_spec(policy), StoreKind.SNAPSHOT)
            if policy is not None
            else None,
            snapshots=self._snapshots.get(place, []),
            contents={n: self._contents[n] for n in names if n in self._contents},
            running=frozenset(r.uid for r in runs if not r.status.phase.final),
            requests=frozenset(
                objects.uid(r) for r in self.requests if objects.namespace(r) == place[0]
            ),
            released=brakes.released_plans(notes.get(labels.RELEASE_RETENTION)),
            accepted=accepted_sizes(notes.get(labels.ACCEPT_SIZE)),
            same=replaced.accepted(notes.get(labels.ACCEPT_CLAIM)),
            named=named_by_requests(self._snapshots.get(place, ()), self.requests),
            clock=brake,
            # Of a policy of rolling copies their own pass tells, which has the same conditions.
            policy=policy if not dig(policy, "spec", "rolling") else None,
            conditions=policy_status(policy).conditions if policy is not None else (),
            finished=[r for r in runs if r.status.phase.final and not makes_copies(r)],
            unlabelled=self._unlabelled,
        )


def makes_copies(run: Run) -> bool:
    """Given a Backup, return whether its points are rolling copies, which have their own pass."""
    return run.status.plan is not None and run.status.plan.rolling is not None


async def gather(client: Client, clock: Clock, place: Place) -> Seen:
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

    await each(client, (partial(ask, name) for name in world.unfound(place)))
    # By name: contents have no namespace, so a LIST would look at those of the whole cluster.
    await each(client, (partial(find, name) for name in sorted(world.content_names(place))))
    return await asyncio.to_thread(world.seen, place, clock.now(), client.clock_brake())


async def read(client: Client, place: Place) -> World:
    """Given a policy's address, read all that its pass rests on but the contents."""
    namespace, name = place
    world = World()
    policy = await client.find(BACKUP_POLICY, name, namespace)
    world.add_policies([policy] if policy is not None else [])
    selector = f"{labels.POLICY}={naming.label_value(name)}"
    world.add_snapshots(await client.list(VOLUME_SNAPSHOT, namespace, labels=selector))
    world.add_backups(await client.list(BACKUP, namespace, fields=f"spec.policy={name}"))
    world.add_requests(await client.list(RESTORE_REQUEST, namespace, fields=UNFINISHED))
    return world


async def with_claims(client: Client, seen: Seen, namespace: str) -> Seen:
    """Given what a pass rests on that would sweep, return it with the claims that still wait for
    one of its snapshots: they name it in their spec only.
    """
    claims = await client.list(PERSISTENT_VOLUME_CLAIM, namespace)
    return replace(seen, named={**named_by_claims(claims), **seen.named})


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
        turn, begun = begun, asyncio.Event()
        return _collect(add, pages, turn, begun)

    await run_together(
        collect(world.add_policies, client.pages(BACKUP_POLICY)),
        collect(world.add_snapshots, client.pages(VOLUME_SNAPSHOT, labels=labels.POLICY)),
        collect(world.add_backups, client.pages(BACKUP)),
        collect(world.add_requests, client.pages(RESTORE_REQUEST, fields=UNFINISHED)),
        collect(world.add_contents, client.pages(VOLUME_SNAPSHOT_CONTENT)),
    )
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
        begun.set()
        for obj in page:
            trim(obj)
        add(page)


def trim(obj: Obj) -> None:
    """Given an object as read, take away what no plan rests on: who wrote it, and how; of a run
    its dumps, and its plan but where that tells rolling copies.
    """
    metadata = obj["metadata"]
    metadata.pop("managedFields", None)
    metadata.get("annotations", {}).pop(LAST_APPLIED, None)
    if obj["kind"] == BACKUP.kind:
        for key in ("dumps",) if dig(obj, "status", "plan", "rolling") else ("plan", "dumps"):
            obj.get("status", {}).pop(key, None)


def _leaves(content: Obj) -> bool:
    try:
        return is_leaving(content)
    except DataError:
        return True  # Whoever finishes sweeps fails on it and tells.
