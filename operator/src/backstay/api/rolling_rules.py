"""CEL rules of a policy's spec about its rolling copies, each with the remedy in its message."""

from __future__ import annotations

from typing import Final

_READS_LIVE: Final = (
    "!has(self.rolling) || !has(self.rolling.copyMethod) || self.rolling.copyMethod == 'Direct'"
)
POLICY_RULES: Final = (
    (
        "!has(self.source.hostPath) || (has(self.rolling) && !has(self.snapshot))",
        "source.hostPath has no snapshots: set rolling, which says where its copies are kept, and "
        "leave snapshot out",
    ),
    (
        "has(self.rolling) || !has(self.source.claims) || !has(self.source.claims.subPath)",
        "source.claims.subPath needs rolling: a snapshot always holds the whole claim",
    ),
    (
        "!has(self.rolling) || !has(self.source.claims) || has(self.rolling.destination.claim)",
        "rolling.destination.hostPath is for source.hostPath: copies of claims are kept in a "
        "claim of the same namespace, set rolling.destination.claim",
    ),
    (
        "!has(self.rolling) || has(self.snapshot) || !has(self.dumps) || size(self.dumps) == 0",
        "dumps go into snapshots: set snapshot beside rolling, or leave dumps out",
    ),
    (
        "!has(self.rolling) || has(self.snapshot) || !has(self.hooks)",
        "hooks are for snapshots: set snapshot beside rolling, or leave hooks out",
    ),
    (
        "!has(self.rolling) || has(self.snapshot) || !has(self.adopt)",
        "adopt is for snapshots: set snapshot beside rolling, or leave adopt out",
    ),
    (
        f"{_READS_LIVE} || !has(self.source.hostPath)",
        "rolling.copyMethod Snapshot and Clone are for claims: a directory of a node has neither, "
        "leave copyMethod out",
    ),
    (
        f"{_READS_LIVE} || self.rolling.copyMethod != 'Snapshot' || has(self.snapshot)",
        "rolling.copyMethod Snapshot copies the snapshot of the same run: set snapshot beside "
        "rolling, or choose Clone",
    ),
    (
        f"{_READS_LIVE} || self.rolling.copyMethod != 'Clone' || !has(self.hooks)",
        "rolling.copyMethod Clone is made when the hooks hold nothing any more: choose Snapshot, "
        "which they hold for, or leave hooks out",
    ),
)
