"""Backups with points in a repository, for tests of what follows from them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from backstay.api.backup import BackupPhase, BackupSpec, BackupStatus, Trigger
from backstay.api.point import PointResult, PointStatus
from backstay.api.policy import PolicySpec
from backstay.api.repository_store import StoredSource, StoredStatus
from backstay.api.store import REPOSITORY
from backstay.domain import labels
from backstay.domain.objects import Obj
from backstay.domain.records.lifecycle import Run
from backstay.domain.stores.repository.listing import Snapshot
from backstay.domain.stores.repository.record import encode
from backstay.domain.subject import Subject
from backstay.domain.upkeep import Seen

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
ID = "0123456789abcdef" * 4
OURS = {
    labels.RESULT: "good",
    labels.RETAIN: labels.Retain.DAILY_WEEKLY_MONTHLY.value,
    labels.TYPE: "cronjob",
}


def hashed(text: str) -> str:
    """Given any text, return an ID of a snapshot."""
    return hashlib.sha256(text.encode()).hexdigest()


def entry(name: str, taken: datetime, **stored: Any) -> PointStatus:
    """The point of a run of that name; `gone`, `message` and `gone_at` are the point's own."""
    own = {k: stored.pop(k) for k in ("gone", "gone_at", "message", "source") if k in stored}
    given: dict[str, Any] = {
        "repository": "offsite",
        "id": ID,
        "data": hashed(f"data {name}"),
        "record": hashed(f"record {name}"),
        "tree": hashed(f"tree {name}"),
        "source": StoredSource(ids=("claim-uid",)),
        "labels": OURS,
    }
    return PointStatus(
        **{"source": "data", **own},
        store=REPOSITORY,
        ref=hashed(f"data {name}")[:8],
        attempt=1,
        result=PointResult.GOOD,
        taken_at=taken,
        stored=StoredStatus(**given | stored),
    )


def run(
    name: str,
    taken: datetime,
    *,
    phase: BackupPhase = BackupPhase.COMPLETED,
    carried: dict[str, str] | None = None,
    **stored: Any,
) -> Run:
    """A Backup of that name with its point, as it was when that was made."""
    metadata = {"name": name, "namespace": "team", "uid": f"uid-{name}", "labels": carried or {}}
    status = BackupStatus(
        phase=phase,
        points=(entry(name, taken, **stored),),
        completed_at=taken + timedelta(minutes=5) if phase.final else None,
    )
    spec = BackupSpec(policy="shop", trigger=Trigger.SCHEDULED)
    return Subject({"metadata": metadata}, spec, status)


def daily(days: int, **values: Any) -> list[Run]:
    """A Backup of each of the last days, the oldest first."""
    return [run(f"day{n}", NOW - timedelta(days=n), **values) for n in reversed(range(1, days + 1))]


def ready(**values: Any) -> Obj:
    """A BackupRepository that can be used; `spec` and `status` add to what it has."""
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "Opened",
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    more = values.get("status", {})
    conditions = [condition, *more.get("conditions", [])]
    return {
        "metadata": {"name": "offsite", "namespace": "team", "uid": "repository"},
        "spec": {"secretRef": {"name": "s3"}, **values.get("spec", {})},
        "status": {"id": ID, **more, "conditions": conditions},
    }


def says(type: str, status: str, reason: str) -> Obj:
    """A condition of a BackupRepository."""
    return {
        "type": type,
        "status": status,
        "reason": reason,
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-11-30T00:00:00Z",
    }


def seen(runs: Sequence[Run], *, repository: Obj | None = None, **values: Any) -> Seen:
    """A pass over the policy, which keeps the last three points unless values say otherwise."""
    keep = values.pop("retention", {"last": 3})
    notes = values.pop("notes", {})
    raw: Obj = {"source": {"claims": {"names": ["data"]}}, "repository": {"name": "offsite"}}
    raw |= {"retention": keep} if keep else {}
    metadata = {"name": "shop", "namespace": "team", "generation": 1, "annotations": notes}
    given: dict[str, Any] = {
        "now": NOW,
        "place": ("team", "shop"),
        "policy": {"metadata": metadata, "spec": raw},
        "spec": PolicySpec.model_validate(raw),
        "runs": runs,
        "repositories": {"offsite": repository or ready()},
    }
    return Seen(**given | values)


def said(name: str, **values: Any) -> dict[str, Any]:
    """What a record says of the point of a run of that name."""
    claim: Obj = {
        "name": "data",
        "uid": "claim-uid",
        "size": "1Gi",
        "class": None,
        "modes": ["ReadWriteOnce"],
        "volumeMode": "Filesystem",
        "labels": {},
        "volume": "pv-1",
        "continues": None,
    }
    return {
        "version": 1,
        "policy": "shop",
        "backup": name,
        "slot": "2026-11-29T02:00:00+00:00",
        "zone": "UTC",
        "attempt": 1,
        "namespace": "team",
        "namespaceUid": "team-uid",
        "claim": claim,
        "dumps": [],
        "together": [],
        "spread": None,
        "dropped": [],
        "path": "",
        "labels": {labels.TYPE: "cronjob", labels.RETAIN: labels.Retain.DAILY_WEEKLY_MONTHLY.value},
        "annotations": {},
        **values,
    }


def stored(name: str, taken: datetime = NOW, **record: Any) -> list[Snapshot]:
    """Data and record of a point, as a list shows them."""
    tags = ("backstay", f"run={name}-abcde/data", "attempt=1")
    content = {
        "files": 7,
        "bytes": 700,
        "added": 70,
        "unreadable": 0,
        "examples": [],
        "vanished": 0,
    }
    text = encode({**said(name, **record), "stored": content})
    data = Snapshot(
        id=hashed(f"data {name}"),
        time=taken,
        tree=hashed(f"tree {name}"),
        host="team/data",
        paths=("/data",),
        tags=tags,
        files=7,
        bytes=700,
    )
    more = (f"data={data.id}", f"tree={data.tree}", f"record={text}")
    own = ("backstay-point", *tags[1:], *more)
    return [data, Snapshot(hashed(f"record {name}"), taken, "e" * 64, "backstay", ("/",), own)]


def foreign(number: int, host: str = "volsync", taken: datetime = NOW) -> Snapshot:
    """A snapshot of somebody else."""
    id = hashed(f"foreign {number}")
    return Snapshot(id, taken, "f" * 64, host, ("/data",), ())
