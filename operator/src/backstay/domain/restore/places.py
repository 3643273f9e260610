"""Where items of a request write: the places that restores take turns at."""

from __future__ import annotations

from collections.abc import Iterable

from backstay.api.restore_status import RestoreItem
from backstay.domain.run.shared_places import Place, in_claim, on_node


def place_of(namespace: str, item: RestoreItem) -> Place | None:
    """Given a request's namespace and an item, return where it writes; None if nowhere."""
    if item.claim is not None:
        return in_claim(namespace, item.claim, item.path)
    return on_node(item.node, item.path) if item.node is not None else None


def places_taken(namespace: str, items: Iterable[RestoreItem]) -> list[Place]:
    """Given a request's namespace and items, return where these write."""
    return [place for item in items if (place := place_of(namespace, item)) is not None]
