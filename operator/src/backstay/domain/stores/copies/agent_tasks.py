"""The agent's tasks, as docs/design/0014-rolling-agent.md has it: one Step each.

Invariant: a task is a function of what it is made from, so the name of a Job can be taken from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from backstay.api.rolling import Rolling
from backstay.domain.jobs import DumpWish, Step
from backstay.domain.retention.points import Rules
from backstay.domain.stores.copies.dates import Expected
from backstay.domain.stores.copies.locations import Opened, Site

POINTS_MAX: Final = 40
"""Points of one relabel or prune: so many that its answer fits into a termination message."""
BRIEF_LOCK: Final = timedelta(minutes=2)
"""How long upkeep waits for a copy that is under way: it comes again later."""
_UNITS: Final = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12} | {
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}


@dataclass(frozen=True, slots=True)
class Change:
    """One point to be changed, if it still is of this version. None removes a key."""

    stamp: str
    version: str
    labels: Mapping[str, str | None] = field(default_factory=dict)
    annotations: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CopyWish:
    """What a copy is to be called and to carry."""

    run: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    record: Mapping[str, Any]
    rules: Rules | None
    expected: Expected
    identity: Sequence[str] = ()
    """What a claim is; of a directory the agent finds out."""
    allow_shrunken: bool = False
    taken: datetime | None = None
    """Of what moment the source is, by the API server's clock; None: of when it is copied."""
    dumps: Sequence[DumpWish] = ()


def init(path: str, marker: str | None) -> Step:
    """Given a destination in the container and the id of its marker (None: any), return the step
    that makes it usable.
    """
    return _step("init", {"destination": {"path": path, **({"id": marker} if marker else {})}})


def copy(site: Site, source: Opened, rolling: Rolling, wish: CopyWish) -> Step:
    """Given source, destination and settings, return the step that makes one copy."""
    task = _common(site, rolling.max_duration)
    task["destination"]["allowSameFilesystem"] = rolling.allow_same_file_system
    task |= {
        "run": wish.run,
        "source": {
            "root": source.mount.at,
            "path": source.path,
            "requireMount": rolling.require_mount,
            "allowUnreadable": rolling.allow_unreadable,
            "exclude": list(rolling.exclude),
            "identity": list(wish.identity),
        },
        "expected": expected_json(wish.expected),
        "labels": dict(wish.labels),
        "annotations": dict(wish.annotations),
        "record": dict(wish.record),
        "shrink": {"percent": rolling.minimum_percent, "allow": wish.allow_shrunken},
        "keepFree": {
            "bytes": in_bytes(rolling.keep_free.bytes),
            "inodes": rolling.keep_free.inodes,
        },
        "limits": {
            "bandwidth": in_bytes(rolling.bandwidth),
            "ioClass": rolling.io_class.value if rolling.io_class else "",
        },
    }
    if wish.taken is not None:
        task["taken"] = wish.taken.isoformat()
    if wish.dumps:
        task["dumps"] = [{"name": d.name, "path": d.path, "sha256": d.sha256} for d in wish.dumps]
    if wish.rules is not None:
        task["rules"] = rules_json(wish.rules)
    return _step("copy", task)


def relabel(site: Site, changes: Sequence[Change]) -> Step:
    """Given at most POINTS_MAX changes of points, return the step that makes them."""
    points = [
        {
            "stamp": c.stamp,
            "version": c.version,
            "labels": dict(c.labels),
            "annotations": dict(c.annotations),
        }
        for c in changes
    ]
    return _step("relabel", {**_common(site, BRIEF_LOCK), "points": points})


def prune(site: Site, changes: Sequence[Change]) -> Step:
    """Given at most POINTS_MAX points as they were seen, return the step that removes them."""
    points = [{"stamp": c.stamp, "version": c.version} for c in changes]
    return _step("prune", {**_common(site, BRIEF_LOCK), "points": points})


def list_points(site: Site) -> Step:
    """Given a site, return the step that lists its points."""
    return _step("list", _common(site, BRIEF_LOCK))


def scrub(site: Site, rolling: Rolling) -> Step:
    """Given a site and how it is kept, return the step that reads a day's part of its copies."""
    limits = {"ioClass": rolling.io_class.value if rolling.io_class else ""}
    task = {"days": rolling.scrub.days, "limits": limits}
    return _step("scrub", {**_common(site, BRIEF_LOCK), **task})


def restore(
    site: Site,
    stamp: str,
    target: Opened,
    paths: Sequence[str],
    *,
    safety: Mapping[str, Any] | None,
    acknowledge: Sequence[str] = (),
    new_volume: bool = False,
) -> Step:
    """Given a point, where its data goes and which of it, return the step that restores it; with
    `safety`, in place, after a copy of what is there. `acknowledge` are the words for the agent.
    `new_volume`: the target is the root of a volume that was made for this restore.
    """
    task = {
        **_common(site, BRIEF_LOCK),
        "stamp": stamp,
        "target": {"root": target.mount.at, "path": target.path},
        "paths": list(paths),
        "inPlace": safety is not None,
    }
    if safety is not None:
        task["safety"] = dict(safety)
    if new_volume:
        task["newVolume"] = True
    if acknowledge:
        task["acknowledge"] = sorted(acknowledge)
    return _step("restore", task)


def discard(target: Opened) -> Step:
    """Given where a restore wrote, return the step that removes what it left."""
    return _step("discard", {"target": {"root": target.mount.at, "path": target.path}})


def rules_json(rules: Rules) -> dict[str, Any]:
    """Given rules, return them as the agent reads them."""
    return {
        "zone": getattr(rules.zone, "key", "UTC"),
        "last": rules.last,
        "withinSeconds": int(rules.within.total_seconds()),
        "hourly": rules.hourly,
        "daily": rules.daily,
        "weekly": rules.weekly,
        "monthly": rules.monthly,
        "yearly": rules.yearly,
        "adhocDays": rules.adhoc_days,
        "failed": rules.failed,
    }


def expected_json(expected: Expected) -> dict[str, str]:
    """Given when a Job is expected to run, return it as the agent reads it."""
    times = {"after": expected.after, "before": expected.before, "until": expected.until}
    return {key: at.isoformat() for key, at in times.items()}


def in_bytes(text: str | None) -> int:
    """Given a number of bytes as a policy has it, such as 20Mi, return it; 0 for none."""
    if text is None:
        return 0
    digits = text.rstrip("kMGTi")
    return int(digits) * _UNITS.get(text[len(digits) :], 1)


def _common(site: Site, lock: timedelta) -> dict[str, Any]:
    destination: dict[str, Any] = {"path": site.destination.at}
    if site.marker:
        destination["id"] = site.marker
    return {
        "destination": destination,
        "series": site.series.to_json(),
        "lockSeconds": int(lock.total_seconds()),
    }


def _step(verb: str, task: Mapping[str, Any]) -> Step:
    return Step(verb, json.dumps(task, sort_keys=True, separators=(",", ":")))
