"""Bad input about copies in a repository."""

from __future__ import annotations

import copy
from typing import Any, Final

from tests.api.bad.common import DUMP, DURATION, GONE, HOOKS, Row
from tests.api.bad.rolling import CLAIM_SOURCE, HOST

FIELD: Final = "spec.repository"
CLONE: Final[dict[str, Any]] = {"name": "offsite", "copyMethod": "Clone"}
DIRECT: Final[dict[str, Any]] = {"name": "offsite", "copyMethod": "Direct"}
ROLLING: Final[dict[str, Any]] = {"destination": {"claim": {"name": "nas"}}}


def upload(changes: dict[str, Any], field: str, message: str) -> Row:
    """A policy that uploads a clone, and keeps no snapshots."""
    good = {
        "spec.source": CLAIM_SOURCE,
        "spec.dumps": GONE,
        "spec.snapshot": GONE,
        "spec.hooks": GONE,
        "spec.repository": CLONE,
    }
    return Row("BackupPolicy", copy.deepcopy(good) | changes, field, message)


BAD: Final = [
    upload({FIELD: {"name": "offsite"}}, "spec", "set snapshot beside repository"),
    upload({f"{FIELD}.copyMethod": "Snapshot"}, "spec", "set snapshot beside repository"),
    upload(
        {"spec.snapshot": {}, "spec.hooks": HOOKS},
        "spec",
        "choose Snapshot, which they hold for, or leave hooks out",
    ),
    upload({FIELD: DIRECT, "spec.hooks": HOOKS}, "spec", "beside the other stores, or leave hooks"),
    upload({"spec.adopt": {"labelPrefix": "backup-ns.sh"}}, "spec", "or leave adopt out"),
    upload(
        {"spec.source": HOST, "spec.rolling": {"destination": {"hostPath": "/backup"}}},
        "spec",
        "set repository.copyMethod to Direct, or to Rolling beside rolling",
    ),
    upload({f"{FIELD}.copyMethod": "Rolling"}, "spec", "set rolling beside repository, or choose"),
    upload(
        {"spec.source.claims.subPath": "data", "spec.dumps": [DUMP]},
        "spec",
        "set snapshot, which holds the whole claim, or leave subPath out",
    ),
    upload(
        {"spec.repository.retention": {"daily": 0}}, "spec", "repository.retention keeps no point"
    ),
    upload({f"{FIELD}.name": GONE}, f"{FIELD}.name", "Required value"),
    upload({f"{FIELD}.copyMethod": "snap"}, f"{FIELD}.copyMethod", '"Direct", "Rolling"'),
    upload({f"{FIELD}.minimumPercent": 101}, f"{FIELD}.minimumPercent", "less than or equal"),
    upload({f"{FIELD}.maxDuration": "0s"}, f"{FIELD}.maxDuration", DURATION),
    upload({f"{FIELD}.exclude": [""]}, f"{FIELD}.exclude[0]", "at least 1 chars long"),
]

GOOD: Final[list[dict[str, Any]]] = [
    {"repository": CLONE},
    {"repository": DIRECT},
    {"repository": {"name": "offsite"}, "snapshot": {}},
    {"repository": {"name": "offsite"}, "snapshot": {}, "rolling": ROLLING, "hooks": HOOKS},
    {"repository": CLONE, "dumps": [DUMP]},
    {"repository": CLONE, "dumps": [DUMP], "rolling": ROLLING},
    {"repository": {"name": "offsite", "copyMethod": "Rolling"}, "rolling": ROLLING},
    {"repository": DIRECT, "source": HOST},
]
"""What a policy of a claim may say of its stores."""
