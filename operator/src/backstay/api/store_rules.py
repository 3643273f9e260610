"""CEL rules of a policy's spec about its stores, each with the remedy in its message."""

from __future__ import annotations

from typing import Final

_READS_LIVE: Final = (
    "!has(self.rolling) || !has(self.rolling.copyMethod) || self.rolling.copyMethod == 'Direct'"
)
_ONLY_OTHERS: Final = "(has(self.rolling) || has(self.repository)) && !has(self.snapshot)"
_UPLOADS_SNAPSHOT: Final = (
    "has(self.repository) && (!has(self.repository.copyMethod) || "
    "self.repository.copyMethod == 'Snapshot')"
)
_HAS_DUMPS: Final = "has(self.dumps) && size(self.dumps) > 0"
POLICY_RULES: Final = (
    (
        "!has(self.source.hostPath) || ((has(self.rolling) || has(self.repository)) && "
        "!has(self.snapshot))",
        "source.hostPath has no snapshots: set rolling, which says where its copies are kept, or "
        "repository, and leave snapshot out",
    ),
    (
        "!has(self.source.hostPath) || !has(self.repository) || (has(self.repository.copyMethod) "
        "&& self.repository.copyMethod in ['Direct', 'Rolling'])",
        "a directory of a node has neither snapshots nor clones: set repository.copyMethod to "
        "Direct, or to Rolling beside rolling",
    ),
    (
        "has(self.rolling) || has(self.repository) || !has(self.source.claims) || "
        "!has(self.source.claims.subPath)",
        "source.claims.subPath needs rolling or repository: a snapshot always holds the whole "
        "claim",
    ),
    (
        "!has(self.rolling) || !has(self.source.claims) || has(self.rolling.destination.claim)",
        "rolling.destination.hostPath is for source.hostPath: copies of claims are kept in a "
        "claim of the same namespace, set rolling.destination.claim",
    ),
    (
        f"!has(self.rolling) || has(self.snapshot) || has(self.repository) || !({_HAS_DUMPS})",
        "dumps go into snapshots: set snapshot beside rolling, or leave dumps out",
    ),
    (
        f"!has(self.repository) || has(self.snapshot) || !({_HAS_DUMPS}) || "
        "!has(self.source.claims) || !has(self.source.claims.subPath)",
        "dumps may lie outside of source.claims.subPath, which is all that is uploaded: set "
        "snapshot, which holds the whole claim, or leave subPath out",
    ),
    (
        f"!({_ONLY_OTHERS}) || !has(self.hooks)",
        "hooks are for snapshots: set snapshot beside the other stores, or leave hooks out",
    ),
    (
        f"!({_ONLY_OTHERS}) || !has(self.adopt)",
        "adopt is for snapshots: set snapshot beside the other stores, or leave adopt out",
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
    (
        f"!({_UPLOADS_SNAPSHOT}) || has(self.snapshot)",
        "repository.copyMethod Snapshot uploads the snapshot of the same run: set snapshot beside "
        "repository (its retention says how many stay in the cluster), or choose Clone",
    ),
    (
        "!has(self.repository) || !has(self.repository.copyMethod) || "
        "self.repository.copyMethod != 'Rolling' || has(self.rolling)",
        "repository.copyMethod Rolling uploads the rolling copy of the same run: set rolling "
        "beside repository, or choose another copyMethod",
    ),
    (
        "!has(self.repository) || !has(self.repository.copyMethod) || "
        "self.repository.copyMethod != 'Clone' || !has(self.hooks)",
        "repository.copyMethod Clone is made when the hooks hold nothing any more: choose "
        "Snapshot, which they hold for, or leave hooks out",
    ),
)
