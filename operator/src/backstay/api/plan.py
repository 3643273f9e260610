"""The plan of a run, frozen when it starts: later edits of the policy do not reach it."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from backstay.api.common import Duration, Model, Size
from backstay.api.dumps import EngineChoice
from backstay.api.hooks import ClaimName, PlannedHooks
from backstay.api.policy import DUMPS_MAX
from backstay.api.rolling import PlannedRolling
from backstay.api.shapes import NAME_MAX
from backstay.api.snapshot import Consistency
from backstay.api.source import CLAIMS_MAX
from backstay.api.target import Target

PoolName = Annotated[str, Field(max_length=NAME_MAX + 16)]
POOLS_MAX: Final = 64


class PlannedClaim(Model):
    """A claim of the frozen plan."""

    name: str = Field(description="The claim.", max_length=NAME_MAX)
    uid: str = Field(description="Its uid: a recreated claim is another one.", max_length=64)
    class_name: str = Field(
        default="",
        description="VolumeSnapshotClass to use; empty, no snapshot is taken of it.",
        max_length=NAME_MAX,
    )


class PlannedDump(EngineChoice):
    """A dump of the frozen plan."""

    name: str = Field(description="Name of the dump in the policy.", max_length=63)
    target: Target = Field(description="Where it runs.")
    file: str = Field(description="Absolute path in the container.", max_length=1024)
    max_duration: Duration = Field(description="Deadline of the dump.")
    min_free: Size = Field(description="Space that stays free beside the dump.")


class ClaimGroup(Model):
    """Claims that one container writes to, and that a hook freezes together."""

    claims: tuple[ClaimName, ...] = Field(
        description="Their points are good together, or not at all.", max_length=CLAIMS_MAX
    )


class RunPlan(Model):
    """What the run does, frozen when it starts: later edits of the policy do not reach it."""

    zone: str = Field(description="Zone of the dates in labels.", max_length=64)
    claims: tuple[PlannedClaim, ...] = Field(
        description="Claims that are read.", max_length=CLAIMS_MAX
    )
    dumps: tuple[PlannedDump, ...] = Field(
        default=(), description="Dumps to take before.", max_length=DUMPS_MAX
    )
    hooks: PlannedHooks | None = Field(default=None, description="Commands around the snapshots.")
    consistency: Consistency = Field(
        default=Consistency.PER_POD, description="What has to fit together."
    )
    together: tuple[ClaimGroup, ...] = Field(
        default=(),
        description="Claims that one container writes to, frozen together.",
        max_length=CLAIMS_MAX,
    )
    pools: tuple[PoolName, ...] = Field(
        default=(),
        description="Pools that an attempt takes a permit of: global, node/NAME, driver/NAME.",
        max_length=POOLS_MAX,
    )
    take_timeout: Duration = Field(description="Deadline until the snapshot is taken.")
    ready_timeout: Duration = Field(description="Deadline from then until it is ready.")
    retries: int = Field(ge=0, description="Further attempts after the first.")
    keep_days: int | None = Field(
        default=None, ge=1, description="Days that the snapshots of an ad-hoc run are kept."
    )
    rolling: PlannedRolling | None = Field(default=None, description="Directories to copy.")
