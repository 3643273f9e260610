"""Bad RestoreRequests, but for those of directories."""

from __future__ import annotations

from typing import Any, Final

from tests.api.bad.common import CLAIM, GONE, OBJECT, STRICT, Row, restore

OFFSITE: Final[dict[str, Any]] = {"name": "offsite"}
EXISTING: Final[dict[str, Any]] = {
    "claim": "data-pg-0",
    "to": {"existingClaim": {"name": "data-pg-0", "deleteExtra": True}},
}
OTHER: Final[dict[str, Any]] = {"claim": "data-pg-1", "to": {"newClaim": {"name": "other"}}}
TWO: Final[dict[str, Any]] = {"spec.claims": [CLAIM, OTHER]}
ONE_SOURCE: Final = "from needs exactly one of backup, volumeSnapshot and repository"
ONE_TARGET: Final = "to needs exactly one of newClaim and existingClaim"
ONE: Final = "a snapshot, host or path of a repository is of one claim"
NAMES_ALONE: Final = "snapshot names one: leave asOf, previous and host out, or snapshot"


def stored(changes: dict[str, Any], field: str, message: str) -> Row:
    """Given fields of spec.from.repository, a row of a request that has those."""
    whole = {"spec.from": {"repository": {**OFFSITE, **changes}}}
    return restore(whole, f"spec.from.repository{field}", message)


BAD: Final = [
    restore(
        {"spec.from": {}},
        "spec.from",
        ONE_SOURCE,
    ),
    restore(
        {"spec.from": {"backup": "a", "volumeSnapshot": "b"}},
        "spec.from",
        ONE_SOURCE,
    ),
    restore({"spec.from": GONE}, "spec.from", "Required value"),
    restore(
        {"spec.from": {"volumeSnapshot": "b", "store": "Snapshot"}},
        "spec.from",
        "store chooses among the points of a Backup: set from.backup",
    ),
    restore({"spec.claims": []}, "spec.claims", "should have at least 1 items"),
    restore({"spec.claims": [CLAIM, CLAIM]}, "spec.claims[1]", "Duplicate value"),
    restore(
        {"spec.claims": [CLAIM, {**CLAIM, "claim": "data-pg-1"}]},
        "spec",
        "two claims are restored into the same claim",
    ),
    restore(
        {
            "spec.from": {"volumeSnapshot": "snap"},
            "spec.claims": [
                CLAIM,
                {"claim": "data-pg-1", "to": {"newClaim": {"name": "other"}}},
            ],
        },
        "spec",
        "a volumeSnapshot holds one claim: restore exactly one from it",
    ),
    restore(
        {"spec.claims.0.to": {}},
        "spec.claims[0].to",
        ONE_TARGET,
    ),
    restore(
        {"spec.claims.0.to.newClaim.name": "Data_2"}, "spec.claims[0].to.newClaim.name", OBJECT
    ),
    restore({"spec.claims.0.to.inPlace": {}}, STRICT, 'unknown field "spec.claims[0].to.inPla'),
    stored({"snapshot": "0123456"}, ".snapshot", "at least 8"),
    stored({"snapshot": "latest00"}, ".snapshot", "must be the ID of a restic snapshot"),
    stored({"snapshot": "01234567", "previous": 0}, "", NAMES_ALONE),
    stored({"snapshot": "01234567", "asOf": "2026-11-22T00:00:00Z"}, "", NAMES_ALONE),
    stored({"snapshot": "01234567", "host": "volsync"}, "", NAMES_ALONE),
    stored({"previous": -1}, ".previous", "greater than or equal to 0"),
    stored({"asOf": "yesterday"}, ".asOf", "must be a time such as"),
    stored({"path": "data"}, ".path", "must be an absolute path"),
    restore(
        {
            "spec.from": {"repository": {**OFFSITE, "host": "volsync"}},
            "spec.claims": [CLAIM, OTHER],
        },
        "spec",
        ONE,
    ),
    restore(
        {"spec.from": {"repository": OFFSITE, "store": "Repository"}}, "spec.from", "store cho"
    ),
    restore({"spec.claims": [EXISTING]}, "spec", "notAfter is required for existingClaim"),
    restore(
        {"spec.claims": [{**EXISTING, "paths": ["a"]}], "spec.notAfter": "2026-11-22T00:00:00Z"},
        "spec.claims[0]",
        "deleteExtra makes the claim as the snapshot is",
    ),
    restore(
        {"spec.claims.0.paths": ["../a"]}, "spec.claims[0].paths[0]", "must be a relative path"
    ),
    restore({"spec.claims.0.paths": ["a", "a"]}, "spec.claims[0].paths[1]", "Duplicate value"),
]
