"""One policy with a point of every kind that a retention pass treats differently.

Ages are in days of a zone in which it is about noon now, so that no date changes under a test.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.builders import SLOT
from tests.support.disks import CONTENT_FINALIZER, SNAPSHOT_FINALIZER

from backstay.api.common import format_time
from backstay.domain import labels, objects
from backstay.domain.objects import Obj, dig
from backstay.domain.stores.snapshots.content import MIRRORED_NOTES
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.resources import (
    BACKUP,
    BACKUP_POLICY,
    NAMESPACE,
    RESTORE_REQUEST,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
    Resource,
)

RETENTION = {"daily": 3, "failed": 2, "adhocDays": 30}
HERE = "NAMESPACE"


def now() -> datetime:
    return SystemClock().now()


@cache
def zone_at_noon() -> ZoneInfo:
    """A zone without clock changes in which it is past noon, the same one for all worlds."""
    east = 12 - now().hour
    return ZoneInfo(f"Etc/GMT{-east:+d}" if east else "Etc/GMT")


@dataclass(frozen=True, slots=True)
class Made:
    """A snapshot to make: taken `age` days ago at `hour`; labels and notes by their short names."""

    name: str
    age: int
    hour: int = 6
    labels: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    marked: int | None = None
    """How many days ago retention marked it."""
    ready: bool = True
    mirrored: bool = True
    """Its content is Retain and carries its labels; else it is as the driver's class made it."""
    backup: bool = False
    """It has a finished Backup."""


class World:
    """The objects of one namespace. Contents and disks are named after the namespace too."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.namespace = namespace
        self.policy = namespace
        """A name that no other world has: contents of all namespaces are listed by it."""
        self.zone = zone_at_noon()
        self.now = now().astimezone(self.zone)
        self._client = client
        self._uids: dict[str, str] = {}

    @classmethod
    def new(cls, client: Client) -> World:
        """A world with a namespace of its own, yet to be made."""
        return cls(client, f"test-{secrets.token_hex(4)}")

    # ---- making it ------------------------------------------------------------------------

    def day(self, age: int) -> str:
        return (self.now.date() - timedelta(days=age)).isoformat()

    def _at(self, age: int, hour: int) -> datetime:
        return datetime.combine(self.now.date() - timedelta(days=age), time(hour), self.zone)

    def _time(self, age: int, hour: int) -> str:
        return format_time(self._at(age, hour).astimezone(UTC))

    def points(self) -> list[Made]:
        daily = {"daily": self.day(1)}
        failed = {"result": "failed"}
        adhoc = {"retain": "days", "retain-days": "7", "type": "adhoc"}
        return [
            Made("newest", 0, mirrored=False, backup=True),
            Made("settled", 1, labels=daily),
            Made("usurper", 1, hour=9, labels=daily),
            Made("kept-again", 2, marked=1),
            Made("to-mark", 6, labels={"daily": self.day(6)}, backup=True),
            Made("in-grace", 7, marked=0),
            Made("held", 8, labels={"daily": self.day(8), "hold": "true"}),
            Made("in-use", 9, labels={"delete-after": self.day(2)}, notes={"in-use": "REQUEST"}),
            Made("user-gone", 10, labels={"delete-after": self.day(2)}, notes={"in-use": "gone"}),
            Made("adhoc-kept", 3, labels={**adhoc, "delete-after": self.day(-4)}),
            # So many that what goes by one pass is no more than a third.
            *(
                Made(f"adhoc-{age}", age, labels={**adhoc, "delete-after": self.day(-2)})
                for age in (4, 5, 13, 14)
            ),
            Made(
                "adhoc-over",
                11,
                labels={**adhoc, "delete-after": self.day(4)},
                mirrored=False,
                backup=True,
            ),
            Made("failed-kept", 1, hour=3, labels=failed, ready=False),
            Made("failed-old", 4, labels=failed, ready=False),
            Made("orphaned", 0, hour=7, labels={"result": "pending"}, ready=False, mirrored=False),
            Made("foreign", 12, labels={"run": ""}, notes={"run": "", "record": ""}),
            Made("expired", 20, marked=3, backup=True),
            Made("shared", 21, marked=3),
            Made("malformed", 22, labels={"delete-after": "soon"}),
        ]

    DUE = ("user-gone", "adhoc-over", "expired", "shared")
    """Snapshots that go; the disk of `shared` has another content."""
    DUE_DISKS = ("user-gone", "adhoc-over", "expired", "half-swept")

    async def make(self, points: Iterable[Made] | None = None, *, in_use: bool = True) -> None:
        """Make everything. Without `in_use` no restore is under way."""
        await self._create(NAMESPACE, {"metadata": {"name": self.namespace}})
        made = list(self.points() if points is None else points)
        if in_use:
            await self._restore_request()
        else:
            made = [point for point in made if point.name != "in-use"]
        await together(
            self._policy(),
            *(self._point(point) for point in made),
            *(self._lost(name, swept=name == "half-swept") for name in ("half-swept", "frozen")),
            *(
                self._empty_record(name, day)
                for name, day in (("empty-new", 1), ("empty-old", 2), ("empty-oldest", 3))
            ),
            self._twin(),
            # Somebody else deleted its snapshot and its content.
            self._record("vanished", 5, good=True),
        )

    async def _create(self, resource: Resource, body: Obj) -> Obj:
        made = await self._client.create(resource, body)
        self._uids[objects.uid(made)] = f"{resource.kind}:{objects.name(made)}"
        return made

    async def _set_status(self, resource: Resource, obj: Obj, status: Obj) -> None:
        body = {"metadata": {"resourceVersion": objects.version(obj)}, "status": status}
        await self._client.patch(
            resource, objects.name(obj), objects.namespace(obj), body, subresource="status"
        )

    def _meta(self, name: str, **more: Any) -> Obj:
        return {"name": name, "namespace": self.namespace, **more}

    async def _policy(self) -> None:
        spec = {
            # Suspended: no run is to be due, whenever the test runs.
            "suspend": True,
            "schedule": {"cron": "0 6 * * *", "timeZone": self.zone.key},
            "source": {"claims": {"names": ["data"]}},
            "retention": RETENTION,
        }
        made = await self._create(
            BACKUP_POLICY, {"metadata": self._meta(self.policy), "spec": spec}
        )
        # A brake of yesterday, which the pass is to take back.
        held = {"type": "RetentionHeld", "status": "True", "reason": "MassMark", "message": "held"}
        held["lastTransitionTime"] = self._time(1, 12)
        # Not new: the whole operator would recreate records from the artifacts.
        status = {"conditions": [held], "rebuiltAt": self._time(1, 12)}
        await self._set_status(BACKUP_POLICY, made, status)

    async def _restore_request(self) -> None:
        spec = {
            "from": {"volumeSnapshot": "in-use"},
            "claims": [{"claim": "data", "to": {"newClaim": {"name": "aside"}}}],
        }
        made = await self._create(RESTORE_REQUEST, {"metadata": self._meta("rr"), "spec": spec})
        await self._set_status(RESTORE_REQUEST, made, {"phase": "Restoring"})

    async def _point(self, made: Made) -> None:
        run = f"run-{made.name}"
        if made.backup:
            run = objects.uid(await self._record(made.name, made.age, good=True))
        record = f"backup-{made.name}" if made.backup else made.name
        carried = {"pvc": "data", "policy": self.policy, "backup": record, "type": "cronjob"}
        carried |= {"retain": "daily_weekly_monthly", "result": "good", **made.labels}
        taken = self._time(made.age, made.hour)
        notes = {"run": run, "record": "{}", "taken-at": taken, "good-since": taken, **made.notes}
        if made.marked is not None:
            carried["delete-after"] = self.day(made.marked)
            notes["marked-at"] = self._at(made.marked, 7).isoformat()
        if made.notes.get("in-use") == "REQUEST":
            notes["in-use"] = next(u for u, n in self._uids.items() if n == "RestoreRequest:rr")
        snapshot = await self._create(
            VOLUME_SNAPSHOT,
            {
                "metadata": self._meta(
                    made.name,
                    labels=ours(carried),
                    annotations=ours(notes),
                    finalizers=[SNAPSHOT_FINALIZER],
                ),
                "spec": {"source": {"persistentVolumeClaimName": "data"}},
            },
        )
        content = self.content_name(made.name)
        status = {
            "creationTime": taken,
            "readyToUse": made.ready,
            "boundVolumeSnapshotContentName": content,
        }
        body = self._content(content, objects.uid(snapshot), made.name)
        if made.mirrored:
            body["metadata"]["labels"] |= objects.labels(snapshot)
            body["metadata"]["annotations"] = {
                key: value
                for key, value in objects.annotations(snapshot).items()
                if key in (*MIRRORED_NOTES, labels.MARKED_AT)
            }
            body["spec"]["deletionPolicy"] = "Retain"
        await together(
            self._create(VOLUME_SNAPSHOT_CONTENT, body),
            self._set_status(VOLUME_SNAPSHOT, snapshot, status),
        )

    def content_name(self, point: str) -> str:
        return f"{self.namespace}-{point}"

    def _content(self, name: str, uid: str, snapshot: str) -> Obj:
        ref = {"namespace": self.namespace, "name": snapshot, "uid": uid}
        return {
            "metadata": {
                "name": name,
                "labels": {"world": self.namespace},
                "finalizers": [CONTENT_FINALIZER],
            },
            "spec": {
                "driver": "csi.example",
                "deletionPolicy": "Delete",
                "source": {"snapshotHandle": name},
                "volumeSnapshotRef": ref,
            },
        }

    async def _lost(self, name: str, *, swept: bool) -> None:
        """A content whose snapshot is gone: by our sweep if it has the proof, else by who knows
        whom after an earlier version wrote that it would sweep it.
        """
        uid, date = f"uid-{name}", self.day(9)
        body = self._content(self.content_name(name), uid, name)
        carried = {"pvc": "data", "policy": self.policy, "result": "good", "delete-after": date}
        body["metadata"]["labels"] |= ours(carried)
        if swept:
            body["metadata"]["labels"][labels.SWEPT] = f"{uid}.{date}"
        else:
            body["metadata"]["annotations"] = {labels.SWEEP: uid}
        body["spec"]["deletionPolicy"] = "Retain"
        await self._create(VOLUME_SNAPSHOT_CONTENT, body)

    async def _twin(self) -> None:
        """Another content of the disk of `shared`, bound elsewhere by hand."""
        body = self._content(self.content_name("shared-twin"), "uid-elsewhere", "elsewhere")
        body["spec"]["source"] = {"snapshotHandle": self.content_name("shared")}
        await self._create(VOLUME_SNAPSHOT_CONTENT, body)

    async def _record(self, point: str, age: int, *, good: bool) -> Obj:
        spec = {"policy": self.policy, "trigger": "Scheduled", "scheduledFor": format_time(SLOT)}
        made = await self._create(BACKUP, {"metadata": self._meta(f"backup-{point}"), "spec": spec})
        status: Obj = {
            "phase": "Completed" if good else "Failed",
            "completedAt": self._time(age, 8),
        }
        if good:
            status["points"] = [
                {
                    "source": "data",
                    "store": "Snapshot",
                    "ref": point,
                    "attempt": 1,
                    "result": "good",
                    "snapshot": {"content": self.content_name(point)},
                }
            ]
        await self._set_status(BACKUP, made, status)
        return made

    async def _empty_record(self, name: str, age: int) -> None:
        await self._record(name, age, good=False)

    # ---- looking at it --------------------------------------------------------------------

    async def state(self) -> dict[str, Any]:
        """All that is there, without what differs from one world to the next."""
        found: dict[str, Any] = {}
        for resource in (VOLUME_SNAPSHOT, BACKUP, BACKUP_POLICY, RESTORE_REQUEST):
            for obj in await self._client.list(resource, self.namespace):
                found[f"{resource.kind} {objects.name(obj)}"] = obj
        kind, here = VOLUME_SNAPSHOT_CONTENT, f"world={self.namespace}"
        for obj in await self._client.list(kind, labels=here):
            found[f"{kind.kind} {objects.name(obj)}"] = obj
        text = json.dumps({key: self._bare(obj) for key, obj in found.items()})
        for uid, name in self._uids.items():
            text = text.replace(uid, name)
        state: dict[str, Any] = json.loads(text.replace(self.namespace, HERE))
        return dict(sorted(state.items()))

    def _bare(self, obj: Obj) -> Obj:
        notes = objects.annotations(obj)
        marked = notes.get(labels.MARKED_AT)
        if marked and datetime.fromisoformat(marked) >= self.now:
            notes[labels.MARKED_AT] = "now"
        bare = {"labels": objects.labels(obj), "annotations": notes, "spec": obj.get("spec")}
        if dig(obj, "metadata", "deletionTimestamp"):
            bare["deleting"] = True
        status = dict(obj.get("status") or {})
        for condition in status.get("conditions", ()):
            condition.pop("lastTransitionTime", None)
            # The hash of a loss has the time in it at which that was seen.
            condition["message"] = re.sub("=[0-9a-f]{10} ", "=HASH ", condition.get("message", ""))
        for point in status.get("points", ()):
            point.pop("goneAt", None)
        return {**bare, "status": status}


def ours(values: dict[str, str]) -> dict[str, str]:
    """Short names with our prefix; an empty value leaves one out."""
    return {labels.PREFIX + key: value for key, value in values.items() if value}


async def together(*work: Awaitable[Any]) -> None:
    async with asyncio.TaskGroup() as group:
        for one in work:
            group.create_task(_wait(one))


async def _wait(one: Awaitable[Any]) -> None:
    await one
