"""The store Snapshot: CSI snapshots of claims."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from pydantic import Field

from backstay.api.common import Duration, Model
from backstay.api.retention import Retention
from backstay.api.shapes import ObjectName


class Consistency(StrEnum):
    """What fits together when it is restored."""

    PER_POD = "PerPod"
    PER_CLAIM = "PerClaim"


class Snapshot(Model):
    """CSI snapshots of the claims."""

    consistency: Consistency = Field(
        default=Consistency.PER_POD,
        description="PerPod: what one container writes to several claims of the run counts only if "
        "a hook with freezes held over all their snapshots, and a database that is dumped must "
        "have all of its data, or none, on the claims of the run. PerClaim: each claim is of its "
        "own moment, and nothing is said of several together; the dumps are what counts.",
    )

    class_name: ObjectName | None = Field(
        default=None,
        description="VolumeSnapshotClass; left out, the default class of each claim's driver.",
    )
    take_timeout: Duration = Field(
        default=timedelta(minutes=10),
        description="How long the driver may take until the snapshot is taken.",
    )
    ready_timeout: Duration = Field(
        default=timedelta(hours=24),
        description="How long the snapshot may take from then on until it is ready to use.",
    )
    retention: Retention | None = Field(
        default=None,
        description="How long the snapshots are kept; left out, as spec.retention has it.",
    )
