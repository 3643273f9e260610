"""What the cluster says in Events about an object that is waited for.

Only for people: nothing is decided by it, so a read that fails is as if there were no Event.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final

from backstay.domain import objects
from backstay.domain.errors import BackstayError, Fatal
from backstay.domain.objects import Obj
from backstay.domain.silence import warning_of
from backstay.kube.client import Client
from backstay.kube.resources import EVENT

log = logging.getLogger(__name__)

FRESH: Final = timedelta(seconds=10)
"""Between two reads about one object: the API server looks through all Events of the namespace."""


async def warning_about(client: Client, obj: Obj) -> str:
    """Given an object as read, return the newest warning of its Events, "" if none is known."""
    uid, namespace = objects.uid(obj), objects.namespace(obj)

    async def read() -> str:
        # By uid: an object of that name that was there before has Events of its own.
        fields = f"involvedObject.uid={uid},type=Warning"
        return warning_of(await client.list(EVENT, namespace, fields=fields))

    try:
        return await client.shared.read(("warning", uid), read, keep=FRESH)
    except Fatal:
        raise
    except BackstayError as error:
        log.info("Events of %s/%s: %s", namespace, objects.name(obj), error.message)
        return ""
