"""Write one step of a sweep, each with the preconditions that its plan rests on."""

from __future__ import annotations

import logging

from backstay.domain import labels
from backstay.domain.objects import Obj
from backstay.domain.sweep import Action, DeletionPolicy, Step
from backstay.domain.upkeep import IDLE_STEPS
from backstay.kube.client import Client
from backstay.kube.resources import VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT

log = logging.getLogger(__name__)


async def write_step(client: Client, action: Action, namespace: str | None) -> Obj | None:
    """Given the next step of a sweep and the namespace of the snapshot where that is there, write
    it; return the content as it is now stored, None if it was not the content that was patched.

    Raise Conflict if anything changed since it was read: read again, then plan again.
    """
    if action.step in IDLE_STEPS:
        return None
    log.info("sweep: %s %s: %s", action.step, action.name, action.why)
    if action.step in (Step.DELETE_SNAPSHOT, Step.DELETE_CONTENT):
        await client.delete(
            VOLUME_SNAPSHOT if action.step is Step.DELETE_SNAPSHOT else VOLUME_SNAPSHOT_CONTENT,
            action.name,
            namespace,
            uid=action.uid,
            resource_version=action.resource_version,
        )
        return None
    policy = DeletionPolicy.DELETE if action.step is Step.SET_DELETE else DeletionPolicy.RETAIN
    patch: Obj = {
        "metadata": {"resourceVersion": action.resource_version},
        "spec": {"deletionPolicy": policy.value},
    }
    if action.step is Step.WRITE_INTENT:
        patch["metadata"]["annotations"] = {labels.SWEEP: action.intent}
    return await client.patch(VOLUME_SNAPSHOT_CONTENT, action.name, None, patch)
