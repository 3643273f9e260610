"""A store and a cluster in memory, for restores."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from backstay.api.restore_from import RestoreFrom
from backstay.api.restore_status import RestoreTarget
from backstay.domain import objects
from backstay.domain.errors import AlreadyExists, Conflict, NotFound, UserError
from backstay.domain.objects import Obj
from backstay.domain.restore.acknowledgement import Acknowledged
from backstay.domain.restore.sights import Fill, Found, Rest, StoreSeen, TargetSeen, Volume
from backstay.domain.restore.wishes import Part, Request, Wish
from backstay.domain.stores.copies.locations import Opened
from backstay.kube.client import Client
from backstay.kube.resources import Resource


class Died(Exception):  # noqa: N818 - of the process, not an error of ours
    """The process died at a write."""


@dataclass
class Cluster(Client):
    """A client of a server that keeps what it is given. `dies_at` is the write at which the process
    dies once, `in_time` before it is done.
    """

    stored: dict[tuple[str, str], Obj] = field(default_factory=dict)
    made: int = 0
    writes: int = 0
    dies_at: int = 0
    in_time: bool = False
    skew: timedelta | None = None

    async def find(self, resource: Resource, name: str, namespace: str | None = None) -> Obj | None:
        del namespace
        return copy.deepcopy(self.stored.get((resource.kind, name)))

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Obj:
        found = await self.find(resource, name, namespace)
        if found is None:
            raise NotFound("there is none")
        return found

    async def list(self, resource: Resource, *_: Any, **__: Any) -> list[Obj]:
        return [copy.deepcopy(o) for (kind, _), o in self.stored.items() if kind == resource.kind]

    async def create(self, resource: Resource, body: Obj) -> Obj:
        key = resource.kind, objects.name(body)
        if key in self.stored:
            raise AlreadyExists("there")
        with self._dying():
            return self._store(key, {**body, "kind": resource.kind})

    async def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str | None,
        body: Obj,
        *,
        subresource: str | None = None,
    ) -> Obj:
        del namespace, subresource
        old = self.stored.get((resource.kind, name))
        if old is None:
            raise NotFound("gone")
        if objects.version(body) != objects.version(old):
            raise Conflict("changed")
        with self._dying():
            return self._store((resource.kind, name), _merged(old, body))

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
        del namespace, resource_version, propagation
        if objects.uid(self.stored[resource.kind, name]) != uid:
            raise Conflict("another one")
        with self._dying():
            del self.stored[resource.kind, name]
        return True

    @contextmanager
    def _dying(self) -> Iterator[None]:
        self.writes += 1
        now = self.writes == self.dies_at
        if now and self.in_time:
            raise Died
        yield
        if now:
            raise Died

    def _store(self, key: tuple[str, str], body: Obj) -> Obj:
        self.made += 1
        known = body["metadata"].get("uid") or f"uid-{self.made}"
        body["metadata"] = {**body["metadata"], "uid": known, "resourceVersion": str(self.made)}
        self.stored[key] = copy.deepcopy(body)
        return copy.deepcopy(body)


def _merged(old: Obj, patch: Obj) -> Obj:
    found = dict(old)
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        elif isinstance(value, dict):
            found[key] = _merged(dict(found.get(key) or {}), value)
        else:
            found[key] = value
    return found


class MemoryStore:
    """A store of a third kind: one point, which it fills targets from as a test says."""

    fills = frozenset(RestoreTarget)
    chooses_paths = True

    def __init__(self, *, has_point: bool = True) -> None:
        self.has_point = has_point
        self.held: set[str] = set()
        self.filled: list[Opened] = []
        self.outcome = Fill(begun=True, says="half of it is there")
        self.did: list[str] = []
        """What it was asked to do, in order."""

    def is_named(self, wanted: RestoreFrom) -> bool:
        return wanted.backup is None

    async def find(self, request: Request, wish: Wish, said: Acknowledged) -> Found:
        del said
        if not self.has_point:
            raise UserError("NoPoint", "spec.from: there is no such point in memory")
        source = wish.source or "data"
        return Found(source=source, ref="p1", backup=request.spec.from_.backup, claim=source)

    async def see(self, part: Part, target: TargetSeen, said: Acknowledged) -> StoreSeen:
        del target, said
        fill = self.outcome if self.filled else Fill()
        return StoreSeen(held=part.request.uid in self.held, fill=fill)

    async def hold(self, part: Part) -> None:
        self.did.append("hold")
        self.held.add(part.request.uid)

    async def wake(self, part: Part) -> None:
        """Nobody sleeps."""

    async def volume(self, part: Part) -> Volume:
        del part
        return Volume("fast", ("ReadWriteOnce",), None, "1Gi")

    async def fill(self, part: Part, target: Opened) -> None:
        assert part.request.uid in self.held, "nothing is made from a point that may go"
        self.did.append("fill")
        self.filled.append(target)

    async def stop(self, part: Part) -> None:
        del part
        self.did.append("stop")

    async def discard(self, part: Part, target: Opened) -> None:
        del part, target
        self.did.append("discard")
        self.outcome = replace(self.outcome, rest=Rest(asked=True, over=True))

    async def release(self, part: Part) -> None:
        self.did.append("release")
        self.held.discard(part.request.uid)
