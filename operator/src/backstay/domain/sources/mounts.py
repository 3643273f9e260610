"""Where a file of a container really lies: on which claim, at which path from its root.

A path in a container is only a name. Links may lead off a claim, and other volumes may be mounted
inside it, so what counts is what the container itself said: paths without links, and their mounts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from posixpath import basename

from backstay.domain.errors import UserError


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume in a container, as the pod's spec says."""

    path: str
    """mountPath as written: links of the image may lead elsewhere."""
    claim: str
    """"" if the volume is no claim."""
    volume: str = ""
    sub_path: str | None = ""
    """Its path from the root of the claim; None: only known inside (subPathExpr)."""
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Lies:
    """Where a directory lies, as seen from inside. Empty: it could not be entered."""

    real: str = ""
    """Its path without symbolic links."""
    mount: str = ""
    """The mount point that it lies on."""
    apart: bool = False
    """It lies in another file system than its mount point: the mount's snapshot lacks it."""


def mount_of(lies: Lies, mounts: Sequence[Mount], points: Sequence[str], what: str) -> Mount:
    """Given where a directory lies, the container's mounts, and the real paths of their mount
    points in that order, return the claim's mount that it lies on. `what` is what lies there, for
    people. Raise UserError, in words, if it lies on none.
    """
    if not lies.real:
        raise UserError("PlaceUnknown", f"{what}: where it lies could not be seen in the container")
    # As in the kernel: of several mounts at one point the last covers the others.
    found = {point: mount for point, mount in zip(points, mounts, strict=False) if point}
    mount = found.get(lies.mount)
    if mount is None:
        where = "the container's own file system" if lies.mount == "/" else f"mount {lies.mount}"
        raise UserError(
            "OffTheClaim", f"{what} really lies in {lies.real}, on {where}, on no claim"
        )
    if not mount.claim:
        raise UserError(
            "OffTheClaim",
            f"{what} really lies in {lies.real}, on volume {mount.volume}, which is not a claim",
        )
    if lies.apart:
        raise UserError(
            "OffTheClaim",
            f"{what} really lies in {lies.real}, in a file system of its own inside claim "
            f"{mount.claim} (a subvolume or an export), which no snapshot of the claim holds",
        )
    return mount


def path_of(
    file: str, lies: Lies, mounts: Sequence[Mount], points: Sequence[str], claim: str
) -> str:
    """Given a file, where its directory lies, mounts and their points as `mount_of` takes them, and
    the claim that it should be on, return its path from the root of the claim.

    Raise UserError, in words, if it lies elsewhere, or behind a subPathExpr.
    """
    mount = mount_of(lies, mounts, points, f"file {file}")
    if mount.claim != claim:
        raise UserError(
            "OffTheClaim",
            f"file {file} really lies in {lies.real}, on claim {mount.claim}, not on claim "
            f"{claim}; name it by its real path, or remove the link",
        )
    if mount.sub_path is None:
        raise UserError(
            "PlaceUnknown",
            f"file {file} really lies in {lies.real}, behind a subPathExpr of claim {claim}, whose "
            "value is not known outside the container",
        )
    rest = lies.real[len(lies.mount.rstrip("/")) :].strip("/")
    return "/".join(p for p in (mount.sub_path, rest, basename(file)) if p)
