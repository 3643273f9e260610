"""Write a status: one resourceVersion-tested merge patch, and none where nothing changed."""

from __future__ import annotations

from backstay.api.common import Model
from backstay.domain import objects
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
