"""Write a status: one resourceVersion-tested merge patch, and none where nothing changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from backstay.api.backup import BackupStatus
from backstay.api.common import Model, changed
from backstay.api.restore import RestoreStatus
from backstay.domain import objects
from backstay.domain.errors import BackstayError, Conflict, Fatal
from backstay.domain.objects import Obj
from backstay.domain.patching import merge_diff
from backstay.kube.client import Client
from backstay.kube.resources import Resource


async def write_status(client: Client, resource: Resource, obj: Obj, status: Model) -> Obj:
    """Given an object as read and its next status, write what differs; return the object.

    Raise Conflict if the object changed since it was read: the caller reads and decides again.
    """
    patch = merge_diff(objects.dig(obj, "status", default={}), status.dump())
    if not patch:
        return obj
    return await client.patch(
        resource,
        objects.name(obj),
        objects.namespace(obj),
        {"metadata": {"resourceVersion": objects.version(obj)}, "status": patch},
        subresource="status",
    )


@asynccontextmanager
async def telling(
    client: Client, resource: Resource, obj: Obj, status: BackupStatus | RestoreStatus
) -> AsyncIterator[None]:
    """Given an object as read and its status, show on it what goes wrong inside the block.

    A person must see what holds the work up, such as a quota. The error is raised on: the queue
    tries again. A lost race is no news.
    """
    try:
        yield
    except (Conflict, Fatal):
        raise
    except BackstayError as error:
        await write_status(client, resource, obj, changed(status, message=error.message[:1024]))
        raise
