"""The Kubernetes API on raw dicts.

Invariants:

- Every write first asks the fence, and is sent at most once: whether a write that got no answer
  was carried out is only known by reading, so repeating it is the reconciler's decision.
- Reads are repeated a few times, with jitter, when the server or the line is at fault.
- A patch tests metadata.resourceVersion, a delete tests the uid: we never write over what we
  have not seen.
- Lists are paged and never say resourceVersion=0, for which servers ignore the limit.
- Nothing is raised but errors of `backstay.domain.errors` (and ValueError for wrong use).

Objects stay dicts: typed models of 5,000 pods cost seconds and 500 MB, and refuse fields that
they do not know.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self, TypeAlias

from backstay.domain import objects
from backstay.domain.clock import Clock
from backstay.domain.clock_skew import clock_brake, clock_off
from backstay.domain.errors import NotFound
from backstay.domain.objects import Obj
from backstay.domain.retention.brakes import Brake
from backstay.kube.clock_memory import ClockMemory
from backstay.kube.connection import Connection, OnRequest, Request
from backstay.kube.echoes import Echoes
from backstay.kube.errors import Busy
from backstay.kube.login import Login
from backstay.kube.resources import POD, Resource
from backstay.kube.shared import Shared

Objs: TypeAlias = list[Obj]
Fence = Callable[[], None]

BULK = 32
"""Requests of bulk work in flight at a time, of all passes together: what one process asks of the
API server at most, and fewer than there are connections, so that other work never waits for it."""
PAGE = 250
"""Objects of one answer of a LIST: parsing it must not hold the loop up for long."""
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
READ_TRIES = 4
LONGEST_LOG = 16 * 1024 * 1024
LONGEST_PAUSE = 10.0
"""Seconds; a server that asks for more gets a requeue instead of a waiting worker."""


def unfenced() -> None:
    """Allow every write: for commands and tests, which hold no lease."""


class Client:
    """Get, list, create, patch and delete on one API server.

    Given a login, a clock, the fence that every write asks (raises Fatal), the timeout of one
    request, and optionally `on_request` and what the Lease remembers of our clock. To be made
    inside the running loop, and to be closed (`async with`).
    """

    def __init__(
        self,
        login: Login,
        clock: Clock,
        *,
        fence: Fence = unfenced,
        timeout: timedelta = timedelta(seconds=60),
        on_request: OnRequest | None = None,
        memory: ClockMemory | None = None,
    ) -> None:
        self._memory = memory
        self._clock = clock
        self._fence = fence
        self._connection = Connection(login, clock, timeout=timeout, on_request=on_request)
        self.bulk = asyncio.Semaphore(BULK)
        """To be held around each request of bulk work."""
        self.shared = Shared(clock)
        self.echoes = Echoes()
        """Our writes, of which a watch shows nothing new."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()

    @property
    def server_date(self) -> datetime | None:
        """Return the API server's clock as of its last answer (whole seconds, UTC)."""
        return self._connection.server_date

    @property
    def skew(self) -> timedelta | None:
        """Return how far our clock was ahead of the API server's at its last answer."""
        return self._connection.skew

    def clock_brake(self) -> Brake | None:
        """Return why our clock is not to be believed, so that nothing may be marked or deleted by
        it; None if nothing speaks against it.
        """
        return clock_brake(self.skew) or (self._memory.brake() if self._memory else None)

    def clock_skipped(self) -> tuple[datetime, datetime] | None:
        """Return the time (after, until] that our clock, and the API server's with it, skipped."""
        if self._memory is None or clock_off(self.skew):
            return None
        return self._memory.skipped()

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Obj:
        """Given an address, return the object. Raise NotFound if there is none."""
        what = f"get {resource.describe(namespace, name)}"
        path = resource.path(namespace, name)
        return await self._read(Request("GET", "get", resource, path, what))

    async def find(self, resource: Resource, name: str, namespace: str | None = None) -> Obj | None:
        """Given an address, return the object, or None if there is none."""
        try:
            return await self.get(resource, name, namespace)
        except NotFound:
            return None

    async def find_metadata(
        self, resource: Resource, name: str, namespace: str | None = None
    ) -> Obj | None:
        """Given an address, return the object's metadata alone, or None if there is none."""
        what = f"get {resource.describe(namespace, name)}"
        path = resource.path(namespace, name)
        try:
            return await self._read(
                Request("GET", "get", resource, path, what, accept=METADATA_ONLY)
            )
        except NotFound:
            return None

    async def pages(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
        limit: int = PAGE,
    ) -> AsyncIterator[Objs]:
        """Given a kind, a namespace (None: all) and selectors, yield its objects page by page.

        Items carry apiVersion and kind. All pages show the collection at one moment; raise
        Transient if the server forgot that moment on the way (410): what was yielded before is
        then no complete list, and the caller starts over.
        """
        what = f"list {resource.describe(namespace, None)}"
        query: dict[str, str | int] = {"limit": limit}
        if labels:
            query["labelSelector"] = labels
        if fields:
            query["fieldSelector"] = fields
        path = resource.path(namespace)
        while True:
            page = await self._read(Request("GET", "list", resource, path, what, dict(query)))
            items: Objs = page.get("items") or []
            for item in items:
                item.setdefault("apiVersion", resource.api_version)
                item.setdefault("kind", resource.kind)
            yield items
            rest = objects.dig(page, "metadata", "continue")
            if not rest:
                return
            query["continue"] = rest

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
    ) -> Objs:
        """Given the same as for `pages`, return all objects at once."""
        found: Objs = []
        async for page in self.pages(resource, namespace, labels=labels, fields=fields):
            found += page
        return found

    async def create(self, resource: Resource, body: Obj) -> Obj:
        """Given a complete object, create it and return it as stored.

        Raise AlreadyExists if its name is taken: read it and see whether it is ours.
        """
        namespace = objects.namespace(body) or None
        what = f"create {resource.describe(namespace, objects.name(body))}"
        if resource.namespaced and namespace is None:
            raise ValueError(f"{what}: metadata.namespace is missing")
        body = {"apiVersion": resource.api_version, "kind": resource.kind, **body}
        path = resource.path(namespace)
        return await self._write(Request("POST", "create", resource, path, what, body=body))

    async def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str | None,
        body: Obj,
        *,
        subresource: str | None = None,
    ) -> Obj:
        """Given an address and a merge patch (RFC 7386; null removes), return what it became.

        The patch must carry the metadata.resourceVersion that it was made from. Raise Conflict
        if the object has changed since, NotFound if it is gone.
        """
        part = f"/{subresource}" if subresource else ""
        what = f"patch {resource.describe(namespace, name)}{part}"
        if not objects.version(body):
            raise ValueError(f"{what}: metadata.resourceVersion is missing")
        path = resource.path(namespace, name, subresource)
        merge = "application/merge-patch+json"
        return await self._write(
            Request("PATCH", "patch", resource, path, what, body=body, content_type=merge)
        )

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None,
        *,
        uid: str,
        resource_version: str | None = None,
        propagation: str | None = None,
    ) -> bool:
        """Given an address and what the object must be, have it deleted.

        Return False if it was gone already. True means accepted: finalizers may keep it for
        long. Raise Conflict if it is another object, or not of that resourceVersion any more.
        """
        what = f"delete {resource.describe(namespace, name)}"
        if not uid:
            raise ValueError(f"{what}: the uid is missing")
        options: Obj = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        if resource_version is not None:
            options["preconditions"]["resourceVersion"] = resource_version
        if propagation is not None:
            options["propagationPolicy"] = propagation
        path = resource.path(namespace, name)
        try:
            await self._write(Request("DELETE", "delete", resource, path, what, body=options))
        except NotFound:
            return False
        return True

    async def pod_log(
        self, name: str, namespace: str, container: str, *, tail: int | None = None
    ) -> str:
        """Given a Pod, a container of it and how many lines are wanted (None: all), return the end
        of its log, at most LONGEST_LOG bytes of it.

        Raise NotFound if the Pod is gone, Transient if its node cannot be asked.
        """
        what = f"log of {POD.describe(namespace, name)}"
        query: dict[str, str | int] = {"container": container, "limitBytes": LONGEST_LOG}
        if tail is not None:
            query["tailLines"] = tail
        path = POD.path(namespace, name, "log")
        body = await self._connection.answer(Request("GET", "get", POD, path, what, query))
        return body.decode(errors="replace")

    async def _read(self, request: Request) -> Obj:
        for attempt in range(1, READ_TRIES):
            try:
                return await self._connection.send(request)
            except Busy as error:
                pause = self._clock.jitter(0.2 * 2.0**attempt, 0.5)
                if error.retry_after is not None:
                    pause = max(pause, error.retry_after.total_seconds())
                if pause > LONGEST_PAUSE:
                    raise
                await self._clock.sleep(pause)
        return await self._connection.send(request)

    async def _write(self, request: Request) -> Obj:
        self._fence()
        answer = await self._connection.send(request)
        if request.verb != "delete":
            self.echoes.add(answer)
        return answer
