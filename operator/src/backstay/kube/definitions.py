"""The CustomResourceDefinitions that our watches rest on.

A watch of a kind whose definition was deleted and made again stays open and shows nothing: the
server ends it only when its time is over. The definition's uid shows it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Final

from backstay.domain import objects
from backstay.domain.errors import NotServed
from backstay.kube.client import Client
from backstay.kube.resources import (
    BACKUP,
    BACKUP_POLICY,
    BACKUP_REPOSITORY,
    DEFINITION,
    RESTORE_REQUEST,
    VOLUME_SNAPSHOT,
)

WATCHED: Final = {
    f"{kind.plural}.{kind.group}": kind
    for kind in (BACKUP_POLICY, BACKUP, RESTORE_REQUEST, BACKUP_REPOSITORY, VOLUME_SNAPSHOT)
}
"""The kinds that are watched, by the names of their definitions."""


class Definitions:
    """Looks at them."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._turns = itertools.cycle(WATCHED)

    async def look(self) -> Mapping[str, str]:
        """Return the uid of each definition by its name, "" for one that is missing or leaves.

        Raise what the reads raise.
        """
        return {name: await self._uid(name) for name in WATCHED}

    async def glance(self) -> tuple[str, str]:
        """Return name and uid of one definition, each time of the next one: a part of the cost.

        Raise what the read raises.
        """
        name = next(self._turns)
        return name, await self._uid(name)

    async def _uid(self, name: str) -> str:
        obj = await self._client.find_metadata(DEFINITION, name)
        leaves = objects.dig(obj, "metadata", "deletionTimestamp")
        return objects.uid(obj) if obj is not None and not leaves else ""

    async def unserved(self) -> list[str]:
        """Return the definitions whose kind cannot be listed yet; raise what the reads raise."""
        found = []
        for name, kind in WATCHED.items():
            try:
                async for _ in self._client.pages(kind, limit=1):
                    break
            except NotServed:
                found.append(name)
        return found
