"""How bad input is written down: what is good, and what one row changes of it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final


class Gone(Enum):
    """A value that stands for: leave the field out."""

    GONE = "gone"


GONE: Final = Gone.GONE
STRICT: Final = "strict decoding error"

API: Final = "backstay.dev/v1alpha1"

DUMP: Final[dict[str, Any]] = {
    "name": "shop",
    "target": {"kind": "StatefulSet", "name": "pg", "container": "postgres"},
    "postgres": {"databases": ["shop"]},
    "file": "/data/backstay/shop.dump",
}

HOOKS: Final[dict[str, Any]] = {
    "before": [
        {"name": "quiet", "target": DUMP["target"], "command": ["fsfreeze", "--freeze", "/data"]},
        {
            "name": "session",
            "target": DUMP["target"],
            "session": {"command": ["psql"], "begin": "select 1;", "end": "select 2;"},
        },
    ],
    "after": [
        {"name": "quiet", "command": ["fsfreeze", "--unfreeze", "/data"]},
        {"name": "notify", "target": DUMP["target"], "command": ["echo", "done"]},
    ],
    "maxFreeze": "30s",
}

CLAIM: Final[dict[str, Any]] = {"claim": "data-pg-0", "to": {"newClaim": {"name": "data-restored"}}}

GOOD: Final[dict[str, dict[str, Any]]] = {
    "BackupPolicy": {
        "schedule": {"cron": "32 0 * * *", "timeZone": "Europe/Vienna", "startingDeadline": "6h"},
        "source": {"claims": {"names": ["data-pg-0"]}},
        "dumps": [DUMP],
        "hooks": HOOKS,
        "snapshot": {"className": "fast"},
        "retention": {"daily": 7, "weekly": 4, "monthly": 12},
        "retries": 2,
    },
    "Backup": {"policy": "shop"},
    "RestoreRequest": {"from": {"backup": "shop-20261122-0032"}, "claims": [CLAIM]},
    "BackupRepository": {
        "secretRef": {"name": "s3"},
        "maintenanceSecretRef": {"name": "s3-admin"},
        "pathSuffix": "team/shop",
        "customCA": {"secretName": "tls", "key": "ca.crt"},
        "initialise": "IfMissing",
        "access": "ReadWrite",
        "cache": {"size": "1Gi", "storageClassName": "fast", "accessModes": ["ReadWriteMany"]},
        "limits": {"uploadKiB": 512, "downloadKiB": 1024, "movers": 2},
        "mover": {
            "image": "mine:1",
            "securityContext": {"runAsUser": 26},
            "resources": {"limits": {"memory": "1Gi"}},
            "affinity": {"nodeAffinity": {}},
            "serviceAccountName": "irsa",
            "podLabels": {"example.com/net": "s3"},
            "volumes": [
                {"mountPath": "rclone", "secretName": "rclone"},
                {"mountPath": "nfs", "nfs": {"server": "nas", "path": "/export"}},
                {"mountPath": "keys", "claimName": "keys", "readOnly": True},
            ],
        },
        "maintenance": {
            "prune": "7d",
            "maxUnused": "5%",
            "maxRepack": "5Gi",
            "check": "7d",
            "readParts": 14,
        },
        "unlock": "please-1",
    },
}

FIVE_FIELDS: Final = "must have five fields (minute hour day-of-month month day-of-week)"
DURATION: Final = "must be a duration such as 90s, 10m, 1h30m or 2d, longer than 0"
TIME: Final = "must be a time such as 2026-11-22T00:32:00Z"
OBJECT: Final = "must be the name of a Kubernetes object"
PREFIX: Final = "must be the prefix of labels, without its slash, such as backup-ns.sh"
SCHEDULE: Final = "spec.schedule"
WINDOW: Final = "spec.schedule.blackouts[0]"
OFFICE: Final = {"start": "0 8 * * mon-fri", "duration": "10h"}
CLAIMS: Final = "spec.source.claims"
CLAIMS_NEED: Final = "claims needs names, a selector, or ofDumps: true"


def document(kind: str, changes: dict[str, Any], name: str = "shop") -> dict[str, Any]:
    """Given a kind and values by path (`spec.dumps.0.file`), return a good object changed so."""
    made: dict[str, Any] = {
        "apiVersion": API,
        "kind": kind,
        "metadata": {"name": name},
        "spec": copy.deepcopy(GOOD[kind]),
    }
    for path, value in changes.items():
        *above, last = (int(part) if part.isdigit() else part for part in path.split("."))
        node: Any = made
        for part in above:
            node = node[part]
        if value is GONE:
            del node[last]
        else:
            node[last] = value
    return made


@dataclass(frozen=True, slots=True)
class Row:
    """One bad input, and what one line of the answer must say of it."""

    kind: str
    changes: dict[str, Any]
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind} {self.changes!r:.60}"


def policy(path: str, value: Any, field: str, message: str) -> Row:
    return Row("BackupPolicy", {path: value}, field, message)


def window(value: dict[str, Any], field: str, message: str) -> Row:
    return policy("spec.schedule.blackouts", [value], field, message)


def backup(changes: dict[str, Any], field: str, message: str) -> Row:
    return Row("Backup", changes, field, message)


def restore(changes: dict[str, Any], field: str, message: str) -> Row:
    return Row("RestoreRequest", changes, field, message)
