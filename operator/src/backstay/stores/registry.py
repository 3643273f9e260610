"""The stores that there are, in the order in which a run makes their points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from backstay.domain.clock import Clock
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.steps.dumps import Dumping
from backstay.stores.base import Store
from backstay.stores.copies.store import CopyStore
from backstay.stores.copies.take import Copying
from backstay.stores.snapshots.store import SnapshotStore


class Registry(Protocol):
    """Makes the stores that there are."""

    def __call__(
        self,
        client: Client,
        clock: Clock,
        events: EventPoster,
        *,
        dumping: Dumping,
        copying: Copying,
    ) -> Sequence[Store]: ...


def stores_of(
    client: Client, clock: Clock, events: EventPoster, *, dumping: Dumping, copying: Copying
) -> tuple[Store, ...]:
    """Given what they work with, return all stores: a new one takes one line here."""
    return (
        # Snapshots first: they are taken while the hooks hold, and copies may be made of them.
        SnapshotStore(client, clock, events, dumping),
        CopyStore(client, copying),
    )
