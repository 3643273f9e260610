"""RestoreRequest: brings data back, aside first."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final

from pydantic import Field

from backstay.api.acknowledgement import MEANINGS, Acknowledgement
from backstay.api.common import Model, Size, Time
from backstay.api.meta import Column, CrdMeta
from backstay.api.restore_from import RestoreFrom
from backstay.api.rolling import SERIES_MAX
from backstay.api.shapes import DirectoryPath, ObjectName, RelativePath

SeriesName = Annotated[str, Field(min_length=1, max_length=SERIES_MAX)]


class InPlace(Model):
    """Over the source itself."""

    keep_days: int = Field(
        default=30, ge=1, le=3660, description="Days that the copy of what was there is kept."
    )


class NewClaim(Model):
    """A claim to be made; it must not exist."""

    name: ObjectName = Field(description="Name of the new claim.")
    storage_class_name: ObjectName | None = Field(
        default=None,
        description="StorageClass of the new claim; left out, the class of the claim that was "
        "backed up. For a VolumeSnapshot its driver must be the snapshot's.",
    )
    size: Size | None = Field(
        default=None,
        description="Size of the new claim, not less than the snapshot needs; left out, the larger "
        "of what the snapshot says and what the claim had. Needed where neither is known.",
    )


class ExistingClaim(Model):
    """A claim that exists, whose content is overwritten."""

    name: ObjectName = Field(description="The claim.")
    delete_extra: bool = Field(
        default=False,
        description="Remove what the snapshot does not have; left out, it stays beside what is "
        "restored. A lost+found at the root is left alone.",
    )


class ClaimDestination(Model):
    """Where a claim's data goes: one of newClaim and existingClaim."""

    cel_rules: ClassVar = (
        (
            "has(self.newClaim) != has(self.existingClaim)",
            "to needs exactly one of newClaim and existingClaim",
        ),
    )

    new_claim: NewClaim | None = Field(
        default=None, description="Into a new claim, beside the original."
    )
    existing_claim: ExistingClaim | None = Field(
        default=None,
        description="From a repository over what a claim has, of which no copy is made; whoever "
        "uses it must be stopped before. Needs notAfter.",
    )

    @property
    def claim(self) -> str:
        """The claim that it goes into."""
        to = self.new_claim or self.existing_claim
        return to.name if to is not None else ""


class ClaimRestore(Model):
    """One claim to restore."""

    cel_rules: ClassVar = (
        (
            "!has(self.paths) || !has(self.to.existingClaim) || !self.to.existingClaim.deleteExtra",
            "deleteExtra makes the claim as the snapshot is: leave paths out, or deleteExtra",
        ),
    )

    claim: ObjectName = Field(description="The claim as it was named when it was backed up.")
    to: ClaimDestination = Field(description="Where its data goes.")
    paths: tuple[RelativePath, ...] = Field(
        default=(),
        description="Files and directories of it to restore; left out, all of it. Not from a "
        "VolumeSnapshot.",
        max_length=24,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


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


_INTO: Final = (
    "(has({0}.to.newClaim) ? {0}.to.newClaim.name : "
    "has({0}.to.existingClaim) ? {0}.to.existingClaim.name : '')"
)
"""CEL: the claim that one of spec.claims goes into."""


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
            "!has(self.claims) || !self.claims.exists(c, has(c.to.existingClaim)) || "
            "has(self.notAfter)",
            "notAfter is required for existingClaim: a request that is applied again later, as "
            "from Git, must not overwrite newer data",
        ),
        (
            "!has(self.claims) || self.claims.all(c, self.claims.exists_one(d, "
            f"{_INTO.format('d')} == {_INTO.format('c')}))",
            "two claims are restored into the same claim: give each its own",
        ),
        (
            "!has(self.from.volumeSnapshot) || !has(self.claims) || size(self.claims) == 1",
            "a volumeSnapshot holds one claim: restore exactly one from it",
        ),
        (
            "!has(self.from.repository) || !has(self.claims) || size(self.claims) == 1 || "
            "[has(self.from.repository.snapshot), has(self.from.repository.host), "
            "has(self.from.repository.path)].filter(x, x).size() == 0",
            "a snapshot, host or path of a repository is of one claim: restore exactly one from it",
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
