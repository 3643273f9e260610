"""Snapshots that are not ours, for whoever wants to restore from them."""

from __future__ import annotations

from collections.abc import Iterable

from backstay.api.repository_status import OTHERS_MAX, OthersStatus
from backstay.domain.stores.repository.listing import Snapshot


def others_of(foreign: Iterable[Snapshot]) -> tuple[OthersStatus, ...]:
    """Given the snapshots of others, return them by host and path, those with the newest snapshot
    first, as many as there is room for.
    """
    groups: dict[tuple[str, str], list[Snapshot]] = {}
    for one in foreign:
        path = one.paths[0] if one.paths else "/"
        groups.setdefault((one.host[:253], path[:1024]), []).append(one)
    found = []
    for (host, path), group in groups.items():
        newest = max(group, key=lambda s: (s.time, s.id))
        found.append(
            OthersStatus(
                host=host,
                path=path,
                snapshots=len(group),
                newest=newest.id,
                taken=newest.time,
            )
        )
    found.sort(key=lambda o: (o.taken, o.host, o.path), reverse=True)
    return tuple(found[:OTHERS_MAX])
