"""The part of the commands that asks a cluster. Importing it loads the Kubernetes client.

Invariants: only reads; whatever others refer to is read first (contents before snapshots,
snapshots before runs and requests), so that what is being made is never taken for lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from backstay.cli.files import PolicyFile
from backstay.cli.options import Moment, Target
from backstay.cli.shown import Shown
from backstay.domain import labels, objects, preview
from backstay.domain.calendar import load_zone
from backstay.domain.errors import NotFound
from backstay.domain.objects import Obj, dig
from backstay.domain.retention import replaced
from backstay.domain.retention.brakes import released_plans
from backstay.domain.retention.shrinkage import accepted_sizes
from backstay.domain.stores.copies.seen import seen_of as copies_seen
from backstay.domain.stores.repository.seen import seen_of as stored_seen
from backstay.domain.stores.snapshots import orphans as lost
from backstay.domain.stores.snapshots.judging import Seen
from backstay.domain.stores.snapshots.orphans import Orphan
from backstay.domain.stores.snapshots.seen import seen_of
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.contexts import default_namespace
from backstay.kube.login import login
from backstay.kube.resources import (
    BACKUP_POLICY,
    NAMESPACE,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
)
from backstay.reconcile import passes
from backstay.reconcile.gathering import read
from backstay.reconcile.world import Place, World

T = TypeVar("T")


def retention(
    target: Target, policy: str | None, file: PolicyFile | None, moment: Moment, prefix: str | None
) -> list[Shown]:
    """Given a cluster and a policy's name, a policy's file, or neither (all policies of the
    namespace), return what retention would do at that moment.

    Raise NotFound if there is neither a policy of that name nor a snapshot of it.
    """

    async def ask(client: Client, namespace: str) -> list[Shown]:
        if file is not None:
            place = target.namespace or file.namespace or namespace
            return [await _by_file(client, place, file, moment, prefix)]
        if policy is None:
            found = await client.list(BACKUP_POLICY, namespace)
            return [await _by_policy(client, obj, moment) for obj in found]
        obj = await client.find(BACKUP_POLICY, policy, namespace)
        if obj is not None:
            return [await _by_policy(client, obj, moment)]
        return [await _frozen(client, namespace, policy, moment)]

    return asyncio.run(with_client(target, ask))


def orphans(target: Target, *, everywhere: bool) -> list[Orphan]:
    """Given a cluster, return the orphans of one namespace or of all."""

    async def ask(client: Client, namespace: str) -> list[Orphan]:
        return await _orphans(client, None if everywhere else namespace)

    return asyncio.run(with_client(target, ask))


async def with_client(target: Target, ask: Callable[[Client, str], Coroutine[Any, Any, T]]) -> T:
    """Given a cluster and a question to its client and namespace, return the answer."""
    credentials = await login(target.kubeconfig, target.context)
    namespace = target.namespace or default_namespace(target.kubeconfig, target.context)
    async with Client(credentials, SystemClock()) as client:
        return await ask(client, namespace)


async def _by_policy(client: Client, policy: Obj, moment: Moment) -> Shown:
    place = objects.namespace(policy), objects.name(policy)
    return _shown_world(await read(client, place), place, moment)


async def _by_file(
    client: Client, namespace: str, file: PolicyFile, moment: Moment, prefix: str | None
) -> Shown:
    if prefix is not None:
        now = moment.at(file.rules.zone)
        found = await client.list(VOLUME_SNAPSHOT, namespace)
        lines = preview.of_adopted(found, file.rules, now, prefix)
        return Shown(file.name, now, file.rules.zone, lines)
    place = namespace, file.name
    world = await read(client, place)
    # What is applied need not be valid to judge by the file; what a person let pass stays so.
    notes = {**objects.annotations(world.policies.pop(place, {})), **file.notes}
    seen = replace(
        seen_of(passes.seen(world, place, SystemClock().now())),
        rules=file.rules,
        released=released_plans(notes.get(labels.RELEASE_RETENTION)),
        accepted=accepted_sizes(notes.get(labels.ACCEPT_SIZE)),
        same=replaced.accepted(notes.get(labels.ACCEPT_CLAIM)),
    )
    return _shown(file.name, seen, moment)


async def _frozen(client: Client, namespace: str, name: str, moment: Moment) -> Shown:
    place = namespace, name
    shown = _shown_world(await read(client, place), place, moment)
    if not shown.lines:
        raise NotFound(f"there is no BackupPolicy {namespace}/{name}, and no snapshot of it")
    return shown


def _shown_world(world: World, place: Place, moment: Moment) -> Shown:
    """Snapshots, rolling copies and points in repositories of one policy."""
    seen = passes.seen(world, place, SystemClock().now())
    shown = _shown(place[1], seen_of(seen), moment)
    copies = preview.of_copies(copies_seen(replace(seen, now=shown.now)))
    stored = preview.of_stored(replace(stored_seen(seen), now=shown.now))
    lines = [*shown.lines, *copies, *stored]
    return replace(shown, lines=lines, copies=len(copies) + len(stored))


def _shown(policy: str, seen: Seen, moment: Moment) -> Shown:
    zone = seen.rules.zone if seen.rules is not None else load_zone("UTC")
    now = moment.at(zone)
    # Contents are an administrator's to read: what snapshots say of themselves is believed.
    return Shown(policy, now, zone, preview.of_pass(replace(seen, now=now, looked=False)))


async def _orphans(client: Client, namespace: str | None) -> list[Orphan]:
    # All of them: what lost its snapshot before it was labelled has only its name to be found by.
    contents = [
        c
        async for page in client.pages(VOLUME_SNAPSHOT_CONTENT)
        for c in page
        if namespace in (None, dig(c, "spec", "volumeSnapshotRef", "namespace")) and lost.is_ours(c)
    ]
    snapshots = await client.list(VOLUME_SNAPSHOT, namespace)
    namespaces = {objects.name(n): objects.uid(n) for n in await client.list(NAMESPACE)}
    names = {o.content for o in lost.orphans(contents, snapshots, namespaces)}
    # A sweep may have written its intent and gone on since the contents were read: look again.
    again = [await client.find(VOLUME_SNAPSHOT_CONTENT, name) for name in sorted(names)]
    return lost.orphans([c for c in again if c is not None], snapshots, namespaces)
