"""RestoreRequest: brings claims back, aside first."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Final

from pydantic import Field

from backstay.api.common import CONDITIONS_MAX, Condition, Model, Time
from backstay.api.meta import Column, CrdMeta
from backstay.api.shapes import NAME_MAX, ObjectName


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


class RestoreFrom(Model):
    """What to restore from: exactly one of its fields."""

    cel_rules: ClassVar = (
        (
            "has(self.backup) != has(self.volumeSnapshot)",
            "from needs exactly one of backup and volumeSnapshot",
        ),
    )

    backup: ObjectName | None = Field(
        default=None, description="A Backup of the request's namespace, with good points."
    )
    volume_snapshot: ObjectName | None = Field(
        default=None, description="A VolumeSnapshot of the request's namespace, by name."
    )


class NewClaim(Model):
    """A claim to be made; it must not exist."""

    name: ObjectName = Field(description="Name of the new claim.")
    storage_class_name: ObjectName | None = Field(
        default=None,
        description="StorageClass of the new claim; left out, the class of the claim that was "
        "backed up. Its driver must be the snapshot's.",
    )


class ClaimDestination(Model):
    """Where a claim's data goes."""

    new_claim: NewClaim = Field(description="Into a new claim, beside the original.")


class ClaimRestore(Model):
    """One claim to restore."""

    claim: ObjectName = Field(description="The claim as it was named when it was backed up.")
    to: ClaimDestination = Field(description="Where its data goes.")


class RestoreSpec(Model):
    """Spec of a RestoreRequest; immutable."""

    cel_rules: ClassVar = (
        ("self == oldSelf", "spec is immutable: create another RestoreRequest"),
        (
            "self.claims.all(c, self.claims.exists_one(d, d.to.newClaim.name == "
            "c.to.newClaim.name))",
            "two claims are restored into the same newClaim: give each its own name",
        ),
        (
            "!has(self.from.volumeSnapshot) || size(self.claims) == 1",
            "a volumeSnapshot holds one claim: restore exactly one from it",
        ),
    )

    from_: RestoreFrom = Field(alias="from", description="What to restore from.")
    claims: tuple[ClaimRestore, ...] = Field(
        description="The claims to restore.",
        min_length=1,
        max_length=16,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["claim"],
        },
    )


class RestoredClaim(Model):
    """One claim of the plan and how far it is."""

    claim: str = Field(description="The claim that was backed up.", max_length=NAME_MAX)
    new_claim: str = Field(description="The claim that is made.", max_length=NAME_MAX)
    snapshot: str = Field(description="The VolumeSnapshot it is made from.", max_length=NAME_MAX)
    snapshot_uid: str = Field(description="Its uid.", max_length=64)
    new_claim_uid: str | None = Field(
        default=None, description="uid of the new claim.", max_length=64
    )
    verified: str | None = Field(
        default=None, description="What the verification found.", max_length=1024
    )


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
    claims: tuple[RestoredClaim, ...] = Field(
        default=(), description="The claims that are made.", max_length=16
    )
    into: str | None = Field(
        default=None,
        description="The claims that are made, for printing, such as `data-restored +2`: a column "
        "shows only the first item of a list.",
        max_length=NAME_MAX + 8,
    )


RESTORE_META: Final = CrdMeta(
    kind="RestoreRequest",
    plural="restorerequests",
    singular="restorerequest",
    short_names=("rr",),
    description="Brings data of a backup back into new claims.",
    columns=(
        Column("Backup", ".status.backup", "The Backup that the data is from."),
        Column("Phase", ".status.phase", "Where the restore is."),
        Column("Into", ".status.into", "The claims that are made."),
        Column("Age", ".metadata.creationTimestamp", "Age of the request.", "date"),
        Column("Message", ".status.message", "Why it is in this phase.", wide=True),
    ),
    selectable_fields=(".status.phase",),
)
