"""RestoreRequest: brings data back, aside first."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field

from backstay.api.acknowledgement import MEANINGS, Acknowledgement
from backstay.api.common import CONDITIONS_MAX, Condition, Model, Size, Time
from backstay.api.meta import Column, CrdMeta
from backstay.api.rolling import SERIES_MAX
from backstay.api.shapes import NAME_MAX, DirectoryPath, ObjectName, RelativePath


class RestorePhase(StrEnum):
    """Where a restore is. The last three are final."""

    PENDING = "Pending"
    RESTORING = "Restoring"
    VERIFYING = "Verifying"
    COMPLETED = "Completed"
    FAILED = "Failed"
    REFUSED = "Refused"

    @property
    def final(self) -> bool:
        """Whether the request is over."""
        return self in FINAL_RESTORE_PHASES


FINAL_RESTORE_PHASES: Final = frozenset(
    {RestorePhase.COMPLETED, RestorePhase.FAILED, RestorePhase.REFUSED}
)


StoreName = Annotated[str, Field(min_length=1, max_length=63)]
SeriesName = Annotated[str, Field(min_length=1, max_length=SERIES_MAX)]


class RestoreTarget(StrEnum):
    """Where an item of a request goes."""

    NEW_CLAIM = "NewClaim"
    DIRECTORY = "Directory"
    """A new directory, of a node or in a claim."""
    IN_PLACE = "InPlace"
    """Over the source itself."""


class InPlace(Model):
    """Over the source itself."""

    keep_days: int = Field(
        default=30, ge=1, le=3660, description="Days that the copy of what was there is kept."
    )


class RestoreFrom(Model):
    """What to restore from: exactly one of its fields."""

    cel_rules: ClassVar = (
        (
            "has(self.backup) != has(self.volumeSnapshot)",
            "from needs exactly one of backup and volumeSnapshot",
        ),
        (
            "!has(self.store) || has(self.backup)",
            "store chooses among the points of a Backup: set from.backup",
        ),
    )

    backup: ObjectName | None = Field(
        default=None, description="A Backup of the request's namespace, with good points."
    )
    volume_snapshot: ObjectName | None = Field(
        default=None, description="A VolumeSnapshot of the request's namespace, by name."
    )
    store: StoreName | None = Field(
        default=None,
        description="The store that is restored from, as the Backup's status.points[].store names "
        "it: Snapshot or Rolling. Left out, the first of these that has a good point and can be "
        "restored to where the data is to go.",
    )


class NewClaim(Model):
    """A claim to be made; it must not exist."""

    name: ObjectName = Field(description="Name of the new claim.")
    storage_class_name: ObjectName | None = Field(
        default=None,
        description="StorageClass of the new claim; left out, the class of the claim that was "
        "backed up. Its driver must be the snapshot's.",
    )
    size: Size | None = Field(
        default=None,
        description="Size of the new claim, not less than the snapshot needs; left out, the larger "
        "of what the snapshot says and what the claim had. Needed where neither is known.",
    )


class ClaimDestination(Model):
    """Where a claim's data goes."""

    new_claim: NewClaim = Field(description="Into a new claim, beside the original.")


class ClaimRestore(Model):
    """One claim to restore."""

    claim: ObjectName = Field(description="The claim as it was named when it was backed up.")
    to: ClaimDestination = Field(description="Where its data goes.")


class TargetClaim(Model):
    """A directory in a claim that exists."""

    name: ObjectName = Field(description="The claim.")
    sub_path: RelativePath = Field(
        description="The directory in it, to be made: it must not exist, or be empty."
    )


class DirectoryRestore(Model):
    """A directory to restore, and where to: one of path, claim, inPlace."""

    cel_rules: ClassVar = (
        (
            "[has(self.path), has(self.claim), has(self.inPlace)].filter(x, x).size() == 1",
            "directory needs exactly one of path, claim and inPlace",
        ),
    )

    source: SeriesName | None = Field(
        default=None,
        description="Which of the Backup's directories, as its status.points[].source names it; "
        "may be left out when it has only one.",
    )
    path: DirectoryPath | None = Field(
        default=None,
        description="A directory of the node, to be made: it must not exist, or be empty. It "
        "must lie below one that the administrator opens to restores (rolling.sources of the "
        "chart, with restore: true).",
    )
    claim: TargetClaim | None = Field(
        default=None, description="For copies of claims: a directory in a claim."
    )
    in_place: InPlace | None = Field(
        default=None,
        description="Over the source itself, after a copy of what is there now; whoever uses it "
        "must be stopped before. Needs notAfter.",
    )
    node: ObjectName | None = Field(
        default=None,
        description="The node to restore on, where copies of a node are kept in a claim; left "
        "out, the node that they are of.",
    )
    paths: tuple[RelativePath, ...] = Field(
        default=(),
        description="Files and directories of the copy to restore; left out, all of it.",
        max_length=256,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class RestoreSpec(Model):
    """Spec of a RestoreRequest; immutable."""

    cel_rules: ClassVar = (
        ("self == oldSelf", "spec is immutable: create another RestoreRequest"),
        (
            "has(self.claims) != has(self.directory)",
            "spec needs exactly one of claims and directory",
        ),
        (
            "!has(self.directory) || has(self.from.backup)",
            "a directory is restored from a Backup: set from.backup",
        ),
        (
            "!has(self.directory) || !has(self.directory.inPlace) || has(self.notAfter)",
            "notAfter is required in place: a request that is applied again later, as from Git, "
            "must not overwrite newer data",
        ),
        (
            "!has(self.claims) || self.claims.all(c, self.claims.exists_one(d, "
            "d.to.newClaim.name == c.to.newClaim.name))",
            "two claims are restored into the same newClaim: give each its own name",
        ),
        (
            "!has(self.from.volumeSnapshot) || !has(self.claims) || size(self.claims) == 1",
            "a volumeSnapshot holds one claim: restore exactly one from it",
        ),
    )

    from_: RestoreFrom = Field(alias="from", description="What to restore from.")
    claims: tuple[ClaimRestore, ...] = Field(
        default=(),
        description="The claims to restore.",
        min_length=1,
        max_length=16,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["claim"],
        },
    )
    directory: DirectoryRestore | None = Field(
        default=None, description="A directory to restore, from its rolling copy."
    )
    acknowledge: tuple[Acknowledgement, ...] = Field(
        default=(),
        description="What the restore is to pass over, each where it would be refused or fail. A "
        "word that is not needed changes nothing. "
        + ". ".join(f"{word}: {means}" for word, means in MEANINGS.items())
        + ".",
        max_length=len(MEANINGS),
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    not_after: Time | None = Field(
        default=None,
        description="A request that is first looked at later than this is refused. One that still "
        "waits then, as for a copy under way, fails.",
    )


class RestoreItem(Model):
    """One source of a request: from which point, where to, and how far it is."""

    source: str = Field(
        description="What was backed up: a claim, CLAIM/PATH, or NODE:PATH.", max_length=SERIES_MAX
    )
    store: StoreName = Field(description="The store that it is restored from.")
    ref: str = Field(description="The point's name in that store.", max_length=NAME_MAX)
    uid: str | None = Field(
        default=None, description="uid of what ref names, if it is an object.", max_length=64
    )
    target: RestoreTarget = Field(description="NewClaim, Directory or InPlace.")
    node: str | None = Field(
        default=None, description="The node that it is restored on.", max_length=NAME_MAX
    )
    claim: str | None = Field(
        default=None, description="The claim that it goes into.", max_length=NAME_MAX
    )
    claim_uid: str | None = Field(
        default=None, description="uid of that claim, if it was made for this.", max_length=64
    )
    path: str = Field(
        default="",
        description="The directory that it goes into, on the node or in the claim.",
        max_length=1024,
    )
    into: str = Field(description="Both, in one.", max_length=SERIES_MAX)
    claimed_at: Time = Field(
        description="When the point was asked to be held for it; moves on while a copy is made."
    )
    started_at: Time | None = Field(
        default=None,
        description="When its turn came: from then on, until the request is over, no other restore "
        "writes there, and no run of a policy reads there.",
    )
    job: str | None = Field(
        default=None, description="The Job that restores it.", max_length=NAME_MAX
    )
    safety: str | None = Field(
        default=None, description="The point that was made of what was there.", max_length=64
    )
    verified: str | None = Field(
        default=None, description="What the verification found.", max_length=1024
    )
    failed: str | None = Field(
        default=None, description="Why it can never be restored any more.", max_length=4096
    )


class PassedOver(Model):
    """One value of spec.acknowledge that was used."""

    word: str = Field(description="The word.", max_length=63)
    message: str = Field(description="What was passed over.", max_length=1024)


class RestoreStatus(Model):
    """Status of a RestoreRequest."""

    phase: RestorePhase = Field(default=RestorePhase.PENDING, description="Where it is.")
    message: str | None = Field(
        default=None, description="Why it is there, in words.", max_length=4096
    )
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="Ready: the restore is complete and verified.",
        max_length=CONDITIONS_MAX,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    observed_generation: int = Field(
        default=0, ge=0, description="The metadata.generation that this status speaks of."
    )
    backup: str | None = Field(
        default=None, description="The Backup that the data is from.", max_length=NAME_MAX
    )
    started_at: Time | None = Field(default=None, description="When the restore started.")
    completed_at: Time | None = Field(default=None, description="When the restore ended.")
    items: tuple[RestoreItem, ...] = Field(
        default=(),
        description="What is restored, in the order of spec: one for each claim, or the directory.",
        max_length=16,
    )
    acknowledged: tuple[PassedOver, ...] = Field(
        default=(),
        description="The values of spec.acknowledge that were used, and for what.",
        max_length=len(MEANINGS),
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["word"]},
    )
    into: str | None = Field(
        default=None,
        description="Where the items go, for printing, such as `data-restored +2`: a column shows "
        "only the first item of a list.",
        max_length=SERIES_MAX,
    )


RESTORE_META: Final = CrdMeta(
    kind="RestoreRequest",
    plural="restorerequests",
    singular="restorerequest",
    short_names=("rr",),
    description="Brings data of a backup back into new claims or directories.",
    columns=(
        Column("Backup", ".status.backup", "The Backup that the data is from."),
        Column("Phase", ".status.phase", "Where the restore is."),
        Column("Into", ".status.into", "Where the data goes."),
        Column("Age", ".metadata.creationTimestamp", "Age of the request.", "date"),
        Column("Message", ".status.message", "Why it is in this phase.", wide=True),
    ),
    selectable_fields=(".status.phase",),
)
