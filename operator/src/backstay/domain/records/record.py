"""What an artifact says of its run: enough to restore from it and to rebuild its Backup."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class DumpRecord:
    """One dump inside the snapshot."""

    name: str
    engine: str
    file: str
    """The path in the database's container."""
    path_in_claim: str
    """The path from the root of the claim."""
    sha256: str
    size: int
    """Bytes."""
    uid: int
    gid: int
    versions: Mapping[str, str] = field(default_factory=dict)
    format: str | None = None
    """What it is once it is decompressed. None: it was made before this was recorded."""
    compression: str | None = None
    """What the file as a whole is compressed by: zstd, gzip or none."""
    compressed: bool | None = None
    """Whether the dump is compressed, inside the file or as a whole. None: as in `format`."""
    position: str | None = None
    """Where in the server's log of changes it stands, if that is known."""
    server: str | None = None
    """What the server says that it is, if it says anything that stays: another server on the same
    claim has another one.
    """
    notes: tuple[str, ...] = ()
    """What the server has and the dump has not, in words."""


@dataclass(frozen=True, slots=True)
class ClaimRecord:
    """The claim as it was at the snapshot: enough to make its like."""

    name: str
    uid: str
    size: str
    """spec.resources.requests.storage as written, a Kubernetes quantity."""
    storage_class: str | None
    access_modes: tuple[str, ...]
    volume_mode: str
    labels: Mapping[str, str] = field(default_factory=dict)
    volume: str | None = None
    """The PersistentVolume that it was bound to. None: it was made before this was recorded."""
    continues: str | None = None
    """The uid of the claim whose data a restore brought into this one."""


@dataclass(frozen=True, slots=True)
class Record:
    """One point: the run that made it, its claim and its dumps."""

    policy: str
    backup: str
    slot: datetime
    """Aware; read back as UTC."""
    zone: str
    attempt: int
    namespace: str
    namespace_uid: str
    claim: ClaimRecord
    dumps: tuple[DumpRecord, ...] = ()
    together: tuple[str, ...] = ()
    """The claims that were frozen together for this point: theirs of this run fit together."""
    spread: int | None = None
    """Seconds between the first and the last snapshot of the run; None: there was one, or it is not
    known.
    """
    dropped: tuple[str, ...] = ()
    """What was left out for want of room: `claim.labels`, `dumps.versions`, `dumps.position`,
    `dumps.server`, `dumps.notes`.
    """
