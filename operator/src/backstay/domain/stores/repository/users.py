"""Who uses the points of repositories: RestoreRequests that are not over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from backstay.api.repository_store import StoredStatus
from backstay.api.store import REPOSITORY
from backstay.domain import objects
from backstay.domain.objects import Obj, dig


@dataclass(frozen=True, slots=True)
class Users:
    """The requests that use a point, or may choose it, in words."""

    points: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """By Backup and source; the source "" is any: a request that has not begun yet."""
    repositories: Mapping[str, str] = field(default_factory=dict)
    """By name of a BackupRepository: requests that have not chosen yet."""
    ids: Mapping[str, str] = field(default_factory=dict)
    """By ID of a snapshot, or the first part of it."""

    def of(self, backup: str, source: str, stored: StoredStatus) -> str | None:
        """Given a point, return in words who uses it; None if nobody is known to."""
        found = [
            self.points.get((backup, source)),
            self.points.get((backup, "")),
            self.repositories.get(stored.repository),
            *(words for id, words in self.ids.items() if stored.data.startswith(id)),
        ]
        return next((words for words in found if words), None)


def users_of(requests: Iterable[Obj]) -> Users:
    """Given the RestoreRequests of a namespace that are not finished, return whom they use."""
    points, repositories, ids = dict[tuple[str, str], str](), dict[str, str](), dict[str, str]()
    for request in requests:
        words = f"RestoreRequest {objects.name(request)}"
        items = dig(request, "status", "items", default=[])
        stored = [item for item in items if item.get("store") == REPOSITORY]
        backup = dig(request, "status", "backup")
        points |= {(str(backup), str(i.get("source"))): words for i in stored if backup}
        # A restore may name a snapshot that no Backup shows.
        ids |= {str(item["ref"]): words for item in stored if item.get("ref")}
        if not items and (named := dig(request, "spec", "from", "backup")):
            points[str(named), ""] = words
        if not (name := dig(request, "spec", "from", "repository", "name")):
            continue
        if id := dig(request, "spec", "from", "repository", "snapshot"):
            ids[str(id)] = words
        elif not items:
            repositories[str(name)] = words
    return Users(points, repositories, ids)
