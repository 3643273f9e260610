"""Write a status: one resourceVersion-tested merge patch, and none where nothing changed."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from backstay.api.common import Model
from backstay.domain import objects
from backstay.domain.errors import BackstayError, Conflict, Fatal
from backstay.domain.merge_patch import merge_diff
from backstay.domain.objects import Obj
from backstay.kube.client import Client
from backstay.kube.resources import Resource

log = logging.getLogger(__name__)


async def write_status(client: Client, resource: Resource, obj: Obj, status: Model) -> Obj:
    """Given an object as read and its next status, write what differs; return the object.

    Raise Conflict if the object changed since it was read: the caller reads and decides again.
    """
    patch = merge_diff(objects.dig(obj, "status", default={}), status.dump())
    # Writes are what is dear (design note 0003): one that changes nothing is not even asked for.
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
async def reporting(
    client: Client, resource: Resource, obj: Obj, show: Callable[[str], Model]
) -> AsyncIterator[None]:
    """Given an object as read and how its status shows a message, show on it what goes wrong inside
    the block.

    The error is raised on: the queue tries again. A lost race is normal.
    """
    try:
        yield
    except (Conflict, Fatal):
        raise
    except BackstayError as error:
        # Shown before it is raised: the next try may be minutes away, and a person looks now.
        await report_trouble(client, resource, obj, show(error.message))
        raise


async def report_trouble(client: Client, resource: Resource, obj: Obj, status: Model) -> None:
    """Given an object as read and the status that shows what holds the work up, such as a quota,
    write it if that can be: an API server that takes no status is no reason to lose the trouble.

    Raise Fatal.
    """
    try:
        await write_status(client, resource, obj, status)
    except Fatal:
        raise
    except BackstayError as error:
        log.info("%s: its trouble could not be shown: %s", objects.name(obj), error.message)
