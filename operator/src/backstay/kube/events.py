"""Post what happened as Kubernetes Events, each thing once.

Invariants: an Event's name is a function of (uid of the object, reason, attempt), so posting
again after a crash is a 409 and no second Event; posting never fails the work.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from datetime import UTC
from typing import Any, Literal

from backstay.domain import objects
from backstay.domain.clock import Clock
from backstay.domain.errors import AlreadyExists, BackstayError, Fatal
from backstay.domain.objects import Obj
from backstay.kube.client import Client
from backstay.kube.resources import EVENT

log = logging.getLogger(__name__)

COMPONENT = "backstay"
LONGEST_MESSAGE = 1024
"""Characters: the API server's limit for Events."""


class EventPoster:
    """Posts Events through `client`; `instance` is the reporter (the pod's name)."""

    def __init__(self, client: Client, clock: Clock, instance: str = COMPONENT) -> None:
        self._client = client
        self._clock = clock
        self._instance = instance

    async def post(
        self,
        obj: Mapping[str, Any],
        reason: str,
        message: str,
        *,
        type: Literal["Normal", "Warning"] = "Normal",
        attempt: int | str = 0,
    ) -> None:
        """Given a stored object, a CamelCase reason and a sentence, post the Event once.

        `attempt` distinguishes repeated occurrences of one reason on one object. Raise
        nothing but Fatal: any other failure is logged.
        """
        try:
            await self._client.create(EVENT, self._event(obj, reason, message, type, attempt))
        except AlreadyExists:
            log.debug("%s already has the Event %s (%s)", objects.name(obj), reason, attempt)
        except Fatal:
            raise
        except BackstayError as error:
            log.warning("%s: Event %s was not posted: %s", objects.name(obj), reason, error)

    def _event(
        self, obj: Mapping[str, Any], reason: str, message: str, type_: str, attempt: int | str
    ) -> Obj:
        now = self._clock.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        # Events of cluster-scoped objects live in "default", as kubectl expects.
        namespace = objects.namespace(obj) or "default"
        return {
            "metadata": {"name": event_name(obj, reason, attempt), "namespace": namespace},
            "involvedObject": {
                "apiVersion": obj.get("apiVersion", ""),
                "kind": obj.get("kind", ""),
                "namespace": objects.namespace(obj),
                "name": objects.name(obj),
                "uid": objects.uid(obj),
                "resourceVersion": objects.version(obj),
            },
            "type": type_,
            "reason": reason,
            "message": message
            if len(message) <= LONGEST_MESSAGE
            else f"{message[: LONGEST_MESSAGE - 3]}...",
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._instance,
        }


def event_name(obj: Mapping[str, Any], reason: str, attempt: int | str) -> str:
    """Given an object, a reason and an attempt, return the Event's name: stable and valid."""
    reported = "\n".join([objects.uid(obj), reason, str(attempt)])
    digest = hashlib.sha256(reported.encode()).hexdigest()[:16]
    return f"{objects.name(obj)[:200].rstrip('.-')}.{digest}"
