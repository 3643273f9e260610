"""Bad input about rolling copies."""

from __future__ import annotations

import copy
from typing import Any, Final

from tests.api.bad.common import CLAIMS, DUMP, DURATION, GONE, HOOKS, Row, policy, restore

HOST: Final[dict[str, Any]] = {"hostPath": {"path": "/srv/a", "node": "worker-1"}}
CLAIM_SOURCE: Final[dict[str, Any]] = {"claims": {"names": ["data"]}}
HOST_PATH: Final = "spec.source.hostPath"
DESTINATION: Final = "spec.rolling.destination"


def rolling(changes: dict[str, Any], field: str, message: str) -> Row:
    """A policy of rolling copies."""
    good = {
        "spec.source": HOST,
        "spec.dumps": GONE,
        "spec.snapshot": GONE,
        "spec.hooks": GONE,
        "spec.rolling": {"destination": {"hostPath": "/backup"}, "scrub": {"days": 30}},
    }
    return Row("BackupPolicy", copy.deepcopy(good) | changes, field, message)


def of_claim(method: str) -> dict[str, Any]:
    """Copies of a claim."""
    return {"destination": {"claim": {"name": "nas"}}, "copyMethod": method}


BAD: Final = [
    policy(
        "spec.source.hostPath",
        {"path": "/srv/a", "node": "worker-1"},
        "spec.source",
        "source needs exactly one of claims and hostPath",
    ),
    policy("spec.source", HOST, "spec", "source.hostPath has no snapshots: set rolling"),
    policy("spec.source.claims.subPath", "data", "spec", "source.claims.subPath needs rolling"),
    policy("spec.source.claims.subPath", "/data", f"{CLAIMS}.subPath", "must be a relative path"),
    rolling({"spec.dumps": [DUMP]}, "spec", "set snapshot beside rolling, or leave dumps out"),
    rolling({"spec.hooks": HOOKS}, "spec", "beside the other stores, or leave hooks"),
    rolling({"spec.snapshot": {"className": "fast"}}, "spec", "leave snapshot out"),
    rolling({"spec.adopt": {"labelPrefix": "backup-ns.sh"}}, "spec", "or leave adopt out"),
    rolling({"spec.rolling.retention": {"daily": 0}}, "spec", "rolling.retention keeps no point"),
    rolling({"spec.source.hostPath.path": GONE}, HOST_PATH, "exactly one of path and paths"),
    rolling({"spec.source.hostPath.paths": ["/srv/b"]}, HOST_PATH, "exactly one of path and paths"),
    rolling({"spec.source.hostPath.node": GONE}, f"{HOST_PATH}.node", "Required value"),
    rolling({"spec.source.hostPath.path": "/"}, f"{HOST_PATH}.path", "should be at least 2 chars"),
    rolling({"spec.source.hostPath.path": "srv"}, f"{HOST_PATH}.path", "absolute path of a dir"),
    rolling({"spec.source.hostPath.path": "/srv/../etc"}, f"{HOST_PATH}.path", "without '..'"),
    rolling(
        {"spec.source": {"hostPath": {"paths": ["/srv/a", "/srv/a/b"], "node": "worker-1"}}},
        HOST_PATH,
        "one of the paths lies inside another",
    ),
    rolling({"spec.rolling.destination": {}}, DESTINATION, "exactly one of hostPath and claim"),
    rolling(
        {"spec.rolling.destination.claim": {"name": "nfs"}},
        DESTINATION,
        "exactly one of hostPath and claim",
    ),
    rolling({"spec.source": CLAIM_SOURCE}, "spec", "set rolling.destination.claim"),
    rolling({"spec.rolling.bandwidth": "fast"}, "spec.rolling.bandwidth", "number of bytes above"),
    rolling({"spec.rolling.ioClass": "realtime"}, "spec.rolling.ioClass", 'supported values: "id'),
    rolling({"spec.rolling.minimumPercent": 101}, "spec.rolling.minimumPercent", "less than or eq"),
    rolling({"spec.rolling.maxDuration": "0s"}, "spec.rolling.maxDuration", DURATION),
    rolling({"spec.rolling.scrub.days": -1}, "spec.rolling.scrub.days", "greater than or equal"),
    rolling({"spec.rolling.copyMethod": "snap"}, "spec.rolling.copyMethod", '"Direct", "Snapshot"'),
    rolling(
        {"spec.rolling.copyMethod": "Clone"}, "spec", "of a node has neither, leave copyMethod"
    ),
    rolling({"spec.rolling.copyMethod": "Snapshot"}, "spec", "of a node has neither, leave copyM"),
    rolling(
        {"spec.source": CLAIM_SOURCE, "spec.rolling": of_claim("Snapshot")},
        "spec",
        "set snapshot beside rolling, or choose Clone",
    ),
    rolling(
        {
            "spec.source": CLAIM_SOURCE,
            "spec.rolling": of_claim("Clone"),
            "spec.snapshot": {"className": "fast"},
            "spec.hooks": HOOKS,
        },
        "spec",
        "choose Snapshot, which they hold for, or leave hooks out",
    ),
    restore({"spec.claims": GONE}, "spec", "spec needs exactly one of claims and directory"),
    restore(
        {"spec.directory": {"path": "/srv/back"}},
        "spec",
        "spec needs exactly one of claims and directory",
    ),
    restore(
        {"spec.claims": GONE, "spec.directory": {}},
        "spec.directory",
        "directory needs exactly one of path, claim and inPlace",
    ),
    restore(
        {"spec.claims": GONE, "spec.directory": {"path": "/srv/back", "inPlace": {}}},
        "spec.directory",
        "directory needs exactly one of path, claim and inPlace",
    ),
    restore(
        {"spec.claims": GONE, "spec.directory": {"inPlace": {}}},
        "spec",
        "notAfter is required in place",
    ),
    restore(
        {
            "spec.claims": GONE,
            "spec.directory": {"path": "/srv/back"},
            "spec.from": {"volumeSnapshot": "snap"},
        },
        "spec",
        "a directory is restored from a Backup: set from.backup",
    ),
    restore(
        {"spec.claims": GONE, "spec.directory": {"path": "/srv/back", "paths": ["../x"]}},
        "spec.directory.paths[0]",
        "without '..'",
    ),
]
