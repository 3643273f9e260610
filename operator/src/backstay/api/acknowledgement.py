"""What a RestoreRequest says "go on" to: the values of spec.acknowledge, and what each means."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Acknowledgement(StrEnum):
    """What a restore is to pass over."""

    NO_SAFETY_COPY = "NoSafetyCopy"
    TOO_LITTLE_ROOM = "TooLittleRoom"
    MOUNTS_INSIDE = "MountsInside"
    UNVERIFIED = "Unverified"
    CLAIM_IN_USE = "ClaimInUse"
    NOT_HELD = "NotHeld"
    COPY_MISSING = "CopyMissing"
    COPIES_MOVED = "CopiesMoved"
    NO_MARKER = "NoMarker"
    RECORD_UNREADABLE = "RecordUnreadable"
    UNKNOWN_SOURCE = "UnknownSource"
    OTHER_DRIVER = "OtherDriver"


MEANINGS: Final[Mapping[Acknowledgement, str]] = {
    Acknowledgement.NO_SAFETY_COPY: (
        "in place, if what is there cannot be copied first (the destination is full or read-only, "
        "or files cannot be read), only what can be read is copied, or nothing, and the rest is "
        "lost"
    ),
    Acknowledgement.TOO_LITTLE_ROOM: (
        "what is restored is written although its disk seems to have too little room, and fails "
        "when that is full"
    ),
    Acknowledgement.MOUNTS_INSIDE: (
        "in place, where another file system is mounted at a directory that the copy has, that is "
        "restored into it, and what the copy does not have is removed there"
    ),
    Acknowledgement.UNVERIFIED: (
        "what is restored counts although it is not as recorded or cannot be compared: a damaged "
        "copy, manifest or repository, a snapshot of a repository without its record, a claim "
        "whose verification fails or has not ended after 5 minutes"
    ),
    Acknowledgement.CLAIM_IN_USE: (
        "in place, or in an existingClaim, files are replaced under the Pods that use the claim"
    ),
    Acknowledgement.NOT_HELD: (
        "the copy is restored although it could not be held within 2 minutes, as when its disk is "
        "read-only; a retention pass may remove it before the restore begins"
    ),
    Acknowledgement.COPY_MISSING: ("the copy is looked for although the last list did not find it"),
    Acknowledgement.COPIES_MOVED: (
        "the disk with a node's copies is mounted on spec.directory.node now, at the same path, "
        "and the directory is restored there"
    ),
    Acknowledgement.NO_MARKER: (
        "the copy is read from a destination that has lost its marker, as after a repair of its "
        "file system, unless the administrator gave its id"
    ),
    Acknowledgement.RECORD_UNREADABLE: (
        "a record on the snapshot that cannot be read is left aside: the new claim is like the "
        "claim of that name now, and dumps are not verified"
    ),
    Acknowledgement.UNKNOWN_SOURCE: (
        "a snapshot that does not say what claim it is of is taken for one of the claim that is "
        "named"
    ),
    Acknowledgement.OTHER_DRIVER: (
        "the claim is made although its StorageClass has another provisioner than the snapshot has "
        "a driver"
    ),
}
