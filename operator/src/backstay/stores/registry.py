"""The stores that there are, in the order in which a run makes their points.

A restore that may use several prefers them in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from backstay.stores.base import Store, Tools
from backstay.stores.copies.store import CopyStore
from backstay.stores.repository.store import RepositoryStore
from backstay.stores.snapshots.store import SnapshotStore

Registry: TypeAlias = Callable[[Tools], Sequence[Store]]


def stores_of(tools: Tools) -> Sequence[Store]:
    """Given what stores work with, return all of them: a new one takes one line here."""
    return (
        # Snapshots first: they are taken while the hooks hold, and copies may be made of them.
        SnapshotStore(tools),
        CopyStore(tools),
        # Last: a restore takes what is at hand in the cluster, if it has the choice.
        RepositoryStore(tools),
    )
