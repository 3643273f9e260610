"""Write one step of a sweep, each with the preconditions that its plan rests on.

Invariants: a proof is written only where our own DELETE was answered with success, or the
snapshot is seen going with the labels that it was due by; from the DELETE to its proof nothing
but the end of the process comes in between, be it a cancellation or what others write to the
content meanwhile, as the snapshot controller does.
"""

from __future__ import annotations

import logging
from typing import Final

from backstay.domain import labels
from backstay.domain.clock import Clock
from backstay.domain.errors import Conflict, NotFound, Transient
from backstay.domain.objects import Obj
from backstay.domain.retention.points import Point
from backstay.domain.stores.snapshots.carriers import point_of
from backstay.domain.stores.snapshots.content import content_of
from backstay.domain.stores.snapshots.deletion import (
    Action,
    Carrier,
    Content,
    DeletionPolicy,
    Step,
    plan_sweep,
)
from backstay.domain.stores.snapshots.upkeep import IDLE_STEPS
from backstay.engine.group import to_the_end
from backstay.kube.client import Client
from backstay.kube.resources import VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT

log = logging.getLogger(__name__)

PROOF_TRIES: Final = 5
_PAUSE: Final = 0.5
"""Seconds before a proof is tried again where the API server is at fault."""


async def carry_on(client: Client, clock: Clock, action: Action, point: Point) -> None:
    """Take the next step of a sweep whose snapshot is there, and where that deleted the snapshot,
    write the proof of it. Raise Conflict if anything changed since it was read.
    """
    # A cancellation, as at each rollout, waits for the proof: without it the disk would be left
    # as an orphan. Where there is no content there is no disk to prove it for.
    if action.step is Step.DELETE_SNAPSHOT and action.content is not None:
        await to_the_end(_delete_and_prove(client, clock, action, point, action.content))
    else:
        await write_step(client, action, point.namespace)


async def write_step(client: Client, action: Action, namespace: str | None) -> Obj | None:
    """Write the next step of a sweep; `namespace` is the snapshot's where that is there. Return
    the content as it is now stored, None if it was not the content that was patched.

    Raise Conflict if anything changed since it was read: read again, then plan again.
    """
    if action.step in IDLE_STEPS:
        return None
    log.info("sweep: %s %s: %s", action.step, action.name, action.why)
    if action.step in (Step.DELETE_SNAPSHOT, Step.DELETE_CONTENT):
        await _delete(client, action, namespace)
        return None
    # Tested: a person who holds the content a moment before us keeps the disk.
    patch: Obj = {"metadata": {"resourceVersion": action.resource_version}}
    if action.step is Step.WRITE_PROOF:
        patch["metadata"]["labels"] = {labels.SWEPT: action.proof}
    else:
        policy = DeletionPolicy.DELETE if action.step is Step.SET_DELETE else DeletionPolicy.RETAIN
        patch["spec"] = {"deletionPolicy": policy.value}
    return await client.patch(VOLUME_SNAPSHOT_CONTENT, action.name, None, patch)


async def _delete(client: Client, action: Action, namespace: str | None) -> bool:
    """Return whether it was there to be deleted."""
    snapshot = action.step is Step.DELETE_SNAPSHOT
    # By uid and version: an edit by hand, or a restore that claims the point, wins with a 409.
    return await client.delete(
        VOLUME_SNAPSHOT if snapshot else VOLUME_SNAPSHOT_CONTENT,
        action.name,
        namespace,
        uid=action.uid,
        resource_version=action.resource_version,
    )


async def _delete_and_prove(
    client: Client, clock: Clock, action: Action, point: Point, content: Content
) -> None:
    log.info("sweep: %s %s: %s", action.step, action.name, action.why)
    try:
        ours = await _delete(client, action, point.namespace)
    except Transient:
        # Without an answer: it may have been carried out. Gone, it would prove nothing.
        if not await _goes_as_judged(client, point):
            raise
        ours = True
    # What was not found was taken by somebody else: without a proof the disk stays.
    if ours:
        await _prove(client, clock, point, content)


async def _goes_as_judged(client: Client, point: Point) -> bool:
    """Whether the snapshot is going, with all that it was judged by."""
    found = await client.find(VOLUME_SNAPSHOT, point.name, point.namespace)
    if found is None:
        return False
    now = point_of(found)
    # Not by its version: the deletion has changed that. Whoever deleted it, it was due by these.
    judged = (point.uid, point.labels, point.marked_at, point.in_use)
    return now.deleting and (now.uid, now.labels, now.marked_at, now.in_use) == judged


async def _prove(client: Client, clock: Clock, point: Point, content: Content) -> None:
    """Write the proof onto the content, whatever else was written to that since it was read."""
    # As going: the answer to our DELETE says so, and what was read does not.
    going = Carrier(point.name, point.uid, point.resource_version, deleting=True)
    mine = content
    failed: Conflict | NotFound | Transient | None = None
    for _ in range(PROOF_TRIES):
        action = plan_sweep(going, mine, ())
        if mine.held or mine.proof != content.proof or action.step in IDLE_STEPS:
            return  # A person decided otherwise since, or the proof is there.
        stored: Obj | None
        try:
            stored = await write_step(client, action, None)
        except (Conflict, NotFound, Transient) as error:
            failed = error
            if isinstance(error, Transient):
                await clock.sleep(clock.jitter(_PAUSE, 0.5))
            # Read again: the snapshot controller writes to a content at each deletion.
            stored = await client.find(VOLUME_SNAPSHOT_CONTENT, content.name)
        if stored is None:
            return  # Another process has finished the sweep.
        mine = content_of(stored)
    raise failed or Conflict(f"content {content.name} does not stay as it is written")
