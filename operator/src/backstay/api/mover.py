"""Mover: the Pods that work on a repository."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from backstay.api.common import Model
from backstay.api.shapes import (
    NAME_MAX,
    PRESERVE,
    LabelKey,
    LabelName,
    LabelValue,
    ObjectName,
    Shape,
)

Free = Annotated[dict[str, Any], Field(json_schema_extra={PRESERVE: True})]
"""An object of Kubernetes' own, which the API server checks when a Pod is made of it."""
MOUNTED_BELOW: Final = "/mnt"
ServerName = Annotated[
    str,
    Field(min_length=1, max_length=NAME_MAX),
    Shape("[A-Za-z0-9:][-A-Za-z0-9.:]*", "must be the name or the address of a server"),
]
ExportedPath = Annotated[
    str,
    Field(min_length=1, max_length=1024),
    Shape(r"/[^\x00-\x1f\x7f]*", "must be an absolute path, such as /export/backups"),
]


class Export(Model):
    """A directory of an NFS server."""

    server: ServerName = Field(description="The server's name or address.")
    path: ExportedPath = Field(description="The path that it exports.")


class MoverVolume(Model):
    """Something that is mounted into the Pods beside the data."""

    cel_rules: ClassVar = (
        (
            "[has(self.secretName), has(self.claimName), has(self.nfs)].filter(x, x).size() == 1",
            "a volume needs exactly one of secretName, claimName and nfs",
        ),
    )

    mount_path: LabelName = Field(description="The name of its directory below /mnt.")
    secret_name: ObjectName | None = Field(
        default=None, description="A Secret, such as one with a file that rclone needs."
    )
    claim_name: ObjectName | None = Field(default=None, description="A claim.")
    nfs: Export | None = Field(default=None, description="A directory of an NFS server.")
    read_only: bool = Field(
        default=False, description="Whether nothing may be written to it; a Secret never is."
    )


class Mover(Model):
    """The Pods that work on the repository."""

    cel_rules: ClassVar = (
        (
            "!has(self.volumes) || self.volumes.all(v, "
            "self.volumes.exists_one(w, w.mountPath == v.mountPath))",
            "two volumes have the same mountPath: give each its own",
        ),
    )

    image: str | None = Field(
        default=None,
        description="Their image; left out, the operator's. It needs Backstay's agent and restic.",
        min_length=1,
        max_length=512,
    )
    security_context: Free | None = Field(
        default=None,
        description="Their Pod securityContext, such as the user that owns the files, passed on as "
        "it is. Left out, they run as root with the capabilities CHOWN, DAC_OVERRIDE and FOWNER, "
        "as the Jobs of rolling copies do. They run as user 65532 and without any where Pod "
        "Security enforces restricted, or the namespace is annotated "
        "backstay.dev/privileged-movers=false (or VolSync's volsync.backube/privileged-movers); "
        "with true they are root there too.",
    )
    resources: Free | None = Field(
        default=None, description="Their requests and limits; left out, memory 256Mi and 1Gi."
    )
    affinity: Free | None = Field(default=None, description="Their affinity.")
    service_account_name: ObjectName | None = Field(
        default=None,
        description="Their ServiceAccount, such as for a cloud's own login. Left out, they have no "
        "token of the API server.",
    )
    pod_labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict,
        description="Labels of the Pods, such as for a NetworkPolicy.",
        max_length=16,
    )
    volumes: tuple[MoverVolume, ...] = Field(
        default=(), description="What is mounted into the Pods below /mnt.", max_length=16
    )
