"""BackupRepository: a restic repository, and who may do what to it."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field

from backstay.api.common import Duration, Model, Size
from backstay.api.meta import Column, CrdMeta
from backstay.api.mover import Mover
from backstay.api.shapes import ObjectName, RelativePath, Shape

AccessMode = Annotated[str, Field(max_length=32)]
Unused = Annotated[
    str,
    Field(max_length=16),
    Shape(
        "([0-9]{1,2}%|[0-9]{1,12}|[0-9]{1,5}(Ki|Mi|Gi|Ti)|unlimited)",
        "must be a share such as 5%, a size such as 10Gi, or unlimited",
    ),
]
TOKEN_MAX: Final = 253


class SecretRef(Model):
    """A Secret of the repository's namespace."""

    name: ObjectName = Field(description="The Secret.")


class RepositoryClaim(Model):
    """A claim that a repository is kept in."""

    name: ObjectName = Field(description="A claim of the repository's namespace.")
    sub_path: RelativePath | None = Field(
        default=None, description="A directory in it; left out, its root."
    )


class CustomCA(Model):
    """The CA that the server's certificate is signed by."""

    cel_rules: ClassVar = (
        (
            "has(self.secretName) != has(self.configMapName)",
            "customCA needs exactly one of secretName and configMapName",
        ),
    )

    secret_name: ObjectName | None = Field(default=None, description="The Secret that has it.")
    config_map_name: ObjectName | None = Field(
        default=None, description="The ConfigMap that has it."
    )
    key: str = Field(default="ca.crt", description="Its key there.", min_length=1, max_length=253)


class Cache(Model):
    """Where movers keep restic's cache."""

    size: Size | None = Field(
        default=None,
        description="Size of a claim for the cache, or the limit of the emptyDir where "
        "storageClassName is left out.",
    )
    storage_class_name: ObjectName | None = Field(
        default=None,
        description="Class of a claim that keeps the cache between Jobs, and that goes with the "
        "BackupRepository. Left out, each Job has an emptyDir: an empty cache costs one more read "
        "of the repository's indexes.",
    )
    access_modes: tuple[AccessMode, ...] = Field(
        default=(),
        description="Its access modes; left out, ReadWriteOnce. One mover at a time works with a "
        "cache that is not ReadWriteMany.",
        max_length=4,
    )


class Limits(Model):
    """How fast, and how many at once."""

    upload_kib: int = Field(
        default=0, ge=0, le=10**9, alias="uploadKiB", description="KiB a second; 0 is no limit."
    )
    download_kib: int = Field(
        default=0, ge=0, le=10**9, alias="downloadKiB", description="KiB a second; 0 is no limit."
    )
    movers: int = Field(
        default=4, ge=1, le=64, description="Jobs that back up or restore at the same time."
    )


class Initialise(StrEnum):
    """Whether a repository is made where there is none."""

    IF_MISSING = "IfMissing"
    NEVER = "Never"


class Access(StrEnum):
    """What may be done to a repository."""

    READ_WRITE = "ReadWrite"
    READ_ONLY = "ReadOnly"
    APPEND_ONLY = "AppendOnly"


class Maintenance(Model):
    """What keeps the repository small and known to be whole."""

    prune: Duration = Field(
        default=timedelta(days=7),
        description="How often the space is reclaimed of what was forgotten.",
    )
    max_unused: Unused = Field(
        default="5%",
        description="How much unused data prune may leave, as restic's --max-unused: 5%, 10Gi or "
        "unlimited.",
    )
    max_repack: Size | None = Field(
        default=None, description="How much one prune repacks at most; left out, all there is."
    )
    check: Duration = Field(
        default=timedelta(days=7), description="How often the structure is checked."
    )
    read_parts: int = Field(
        default=14,
        ge=0,
        le=366,
        description="Each check reads one of so many parts of the data; 0 reads none.",
    )


class RepositorySpec(Model):
    """Spec of a BackupRepository."""

    cel_rules: ClassVar = (
        (
            "self.access != 'ReadOnly' || self.initialise == 'Never'",
            "a ReadOnly repository is never made: set initialise: Never",
        ),
        (
            "!has(self.claim) || !has(self.pathSuffix)",
            "pathSuffix is for RESTIC_REPOSITORY of the Secret: set claim.subPath instead",
        ),
        (
            "!has(self.claim) || !has(self.customCA)",
            "customCA is for a server: a repository in a claim has none, leave it out",
        ),
    )

    secret_ref: SecretRef = Field(
        description="The Secret with RESTIC_PASSWORD, RESTIC_REPOSITORY (unless claim is set) and "
        "the keys of its backend, such as AWS_ACCESS_KEY_ID: the format of VolSync's "
        "restic-config. Who has it can read and delete all that is in the repository."
    )
    path_suffix: RelativePath | None = Field(
        default=None,
        description="Added to RESTIC_REPOSITORY behind a slash, so that several repositories can "
        "share a Secret.",
    )
    claim: RepositoryClaim | None = Field(
        default=None, description="Keep the repository in a claim, such as one on NFS."
    )
    maintenance_secret_ref: SecretRef | None = Field(
        default=None,
        description="A Secret of the same format that may delete, used by nothing but "
        "maintenance; left out, secretRef is.",
    )
    initialise: Initialise = Field(
        default=Initialise.IF_MISSING,
        description="Whether the repository is made where there is none. One that was there and "
        "is gone is never made again, and no backup or restore makes one.",
    )
    access: Access = Field(
        default=Access.READ_WRITE,
        description="ReadOnly: nothing is written, for another cluster's repository. AppendOnly: "
        "the Secret may not delete; retention then needs maintenanceSecretRef.",
    )
    custom_ca: CustomCA | None = Field(
        default=None, alias="customCA", description="The CA of the server, if it is a private one."
    )
    cache: Cache = Field(
        default_factory=Cache,
        description="Where movers keep restic's cache.",
        json_schema_extra={"default": {}},
    )
    limits: Limits = Field(
        default_factory=Limits,
        description="How fast, and how many at once.",
        json_schema_extra={"default": {}},
    )
    mover: Mover = Field(
        default_factory=Mover,
        description="The Pods that work on the repository.",
        json_schema_extra={"default": {}},
    )
    maintenance: Maintenance = Field(
        default_factory=Maintenance,
        description="What keeps the repository small and known to be whole.",
        json_schema_extra={"default": {}},
    )
    unlock: str | None = Field(
        default=None,
        description="Set to a new word, every lock of the repository is removed once; "
        "status.lastUnlocked repeats the word.",
        max_length=TOKEN_MAX,
    )


REPOSITORY_META: Final = CrdMeta(
    kind="BackupRepository",
    plural="backuprepositories",
    singular="backuprepository",
    short_names=("brepo",),
    description="A restic repository that points are copied to.",
    # A Job's name is made of it.
    name_max=220,
    columns=(
        Column("Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether it can be used."),
        Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', "Why it can or cannot."),
        Column("Access", ".spec.access", "What may be done to it."),
        Column("Points", ".status.points", "Points with a record in it.", "integer"),
        Column(
            "Checked", ".status.checkedAt", "Age of the last check that found it whole.", "date"
        ),
        Column("Age", ".metadata.creationTimestamp", "Age of the BackupRepository.", "date"),
        Column("ID", ".status.id", "The repository's ID.", wide=True),
        Column("Foreign", ".status.foreign", "Snapshots of others in it.", "integer", wide=True),
        Column("Pruned", ".status.prunedAt", "Age of the last prune.", "date", wide=True),
    ),
)
