"""What was read of any number of policies, by policy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from backstay.api.backup import FINAL_PHASES
from backstay.api.point import PointResult
from backstay.api.store import SNAPSHOT
from backstay.domain import labels, objects
from backstay.domain.errors import DataError
from backstay.domain.objects import Obj, dig
from backstay.domain.stores.snapshots.carriers import identity
from backstay.domain.stores.snapshots.orphans import Census, is_ours
from backstay.domain.stores.snapshots.upkeep import is_leaving

Place: TypeAlias = tuple[str, str]
"""Namespace and name of a policy, which may be gone."""


class World:
    """What was read of any number of policies."""

    def __init__(self) -> None:
        self.policies: dict[Place, Obj] = {}
        self.backups: dict[Place, list[Obj]] = {}
        self.requests: list[Obj] = []
        self.snapshots: dict[Place, list[Obj]] = {}
        self.contents: dict[str, Obj] = {}
        self.unlabelled: list[Obj] = []
        self.repositories: dict[Place, Obj] = {}

    def add_policies(self, found: Iterable[Obj]) -> None:
        """Given policies, add them."""
        for obj in found:
            self.policies[objects.namespace(obj), objects.name(obj)] = obj

    def add_snapshots(self, found: Iterable[Obj]) -> None:
        """Given snapshots of ours, add them."""
        for obj in found:
            place = objects.namespace(obj), identity(obj, labels.POLICY)
            self.snapshots.setdefault(place, []).append(obj)

    def add_unlabelled(self, found: Iterable[Obj]) -> None:
        """Given snapshots that records name and that were found by name only, add them."""
        self.unlabelled += found

    def add_backups(self, found: Iterable[Obj]) -> None:
        """Given Backups, finished or not, add them."""
        for obj in found:
            place = objects.namespace(obj), str(dig(obj, "spec", "policy", default=""))
            self.backups.setdefault(place, []).append(obj)

    def add_requests(self, found: Iterable[Obj]) -> None:
        """Given RestoreRequests that are not finished, add them."""
        self.requests += found

    def add_contents(self, found: Iterable[Obj]) -> None:
        """Given contents, of ours or of others, add them."""
        for obj in found:
            self.contents[objects.name(obj)] = obj

    def add_repositories(self, found: Iterable[Obj]) -> None:
        """Given BackupRepositories, add them."""
        for obj in found:
            self.repositories[objects.namespace(obj), objects.name(obj)] = obj

    def repository_names(self, place: Place) -> set[str]:
        """Given a policy, return the BackupRepositories that it and the points of its runs name."""
        found = {dig(self.policies.get(place), "spec", "repository", "name")}
        for backup in self.backups.get(place, ()):
            points = dig(backup, "status", "points", default=())
            found |= {dig(point, "stored", "repository") for point in points}
        return {name for name in found if name}

    def repositories_of(self, place: Place) -> dict[str, Obj]:
        """Given a policy, return the BackupRepositories that it rests on, by name."""
        names = self.repository_names(place)
        return {n: obj for n in names if (obj := self.repositories.get((place[0], n)))}

    def forget_others(self) -> None:
        """Forget contents that are not ours: neither named by anything, nor labelled, nor named as
        our runs name them.
        """
        # On all that was read: which contents are named is known only once the snapshots and the
        # Backups are there, and a page of contents may come first.
        named = {name for place in self.places() for name in self.content_names(place)}
        for name, content in list(self.contents.items()):
            if name not in named and not is_ours(content):
                del self.contents[name]

    def places(self) -> list[Place]:
        """Return every policy that exists or of which an artifact or a record speaks."""
        # Also of policies that are gone: their points still go by the dates that they carry.
        return sorted({*self.policies, *self.snapshots, *self.backups})

    def keeps_copies(self, place: Place) -> bool:
        """Given a policy, return whether it keeps rolling copies, or has records of some."""
        return bool(
            dig(self.policies.get(place), "spec", "rolling")
            or any(dig(b, "status", "plan", "rolling") for b in self.backups.get(place, ()))
        )

    def content_names(self, place: Place) -> set[str]:
        """Given a policy, return the contents that its snapshots and its finished runs name."""
        # A record may name a content of which no snapshot is left: what was lost with it is missed.
        unlabelled = (s for s in self.unlabelled if objects.namespace(s) == place[0])
        bound = {
            dig(s, "status", "boundVolumeSnapshotContentName")
            for s in (*self.snapshots.get(place, ()), *unlabelled)
        }
        recorded = {
            dig(point, "snapshot", "content")
            for backup in self.backups.get(place, ())
            for point in dig(backup, "status", "points", default=())
        }
        return {name for name in bound | recorded if name}

    def unfound(self, place: Place) -> list[str]:
        """Given a policy, return the snapshots that its finished runs report as good and there, and
        that were not found by our label: one that was taken off by hand must not look like a loss.
        """
        labelled = {objects.name(s) for s in self.snapshots.get(place, ())}
        reported = {
            point.get("ref")
            for backup in self.backups.get(place, ())
            # Of a run under way the snapshot may be younger than the list, and missing in it only.
            if dig(backup, "status", "phase") in FINAL_PHASES
            for point in dig(backup, "status", "points", default=())
            if point.get("store") == SNAPSHOT
            and point.get("result") == PointResult.GOOD
            and not point.get("gone")
        }
        return sorted(name for name in reported - labelled if name)

    def versions(self, place: Place) -> frozenset[tuple[str, str]]:
        """Given a policy, return uid and resourceVersion of all that its pass rests on."""
        policy = self.policies.get(place)
        # Each write to an object changes its version; what is gone or new changes the set.
        contents = (self.contents.get(name) for name in self.content_names(place))
        return frozenset(
            (objects.uid(obj), objects.version(obj))
            for obj in (
                *([policy] if policy is not None else []),
                *self.snapshots.get(place, ()),
                *self.backups.get(place, ()),
                # Any request of the namespace may name a point of any policy.
                *(r for r in self.requests if objects.namespace(r) == place[0]),
                *(content for content in contents if content is not None),
                *self.repositories_of(place).values(),
            )
        )

    def leaving(self) -> list[str]:
        """Return the contents whose snapshot a sweep takes or took, as far as this look can say."""
        uids = {
            objects.uid(s)
            for found in self.snapshots.values()
            for s in found
            # One on its way out counts as gone here: its sweep ends by asking for it by name.
            if not dig(s, "metadata", "deletionTimestamp")
        }
        return [
            name
            for name, content in self.contents.items()
            if dig(content, "spec", "volumeSnapshotRef", "uid") not in uids and _leaves(content)
        ]

    def census(self) -> Census:
        """Return what counts the orphans among the contents."""
        census = Census()
        for snapshot in (s for found in self.snapshots.values() for s in found):
            census.see_snapshot(snapshot)
        for content in self.contents.values():
            census.see_content(content)
        return census


def _leaves(content: Obj) -> bool:
    try:
        return is_leaving(content)
    except DataError:
        return True  # Whoever finishes sweeps fails on it and reports.
