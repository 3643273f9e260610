"""The plan of a run, frozen when it starts: later edits of the policy do not reach it."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from backstay.api.common import Duration, Model, Size
from backstay.api.dumps import EngineChoice
from backstay.api.hooks import ClaimName, PlannedHooks
from backstay.api.policy import DUMPS_MAX
from backstay.api.repository_store import PlannedRepository
from backstay.api.rolling import SERIES_MAX, PlannedRolling
from backstay.api.shapes import NAME_MAX
from backstay.api.snapshot import Consistency
from backstay.api.source import CLAIMS_MAX
from backstay.api.store import StoreName
from backstay.api.target import Target

PoolName = Annotated[str, Field(max_length=NAME_MAX + 16)]
POOLS_MAX: Final = CLAIMS_MAX + DUMPS_MAX + 2
"""Drivers, nodes of dumps and of a source, and the global one: never too few."""
POINTS_MAX: Final = 1024
"""Of a run: sources by store."""


class PlannedClaim(Model):
    """A claim of the frozen plan."""

    name: str = Field(description="The claim.", max_length=NAME_MAX)
    uid: str = Field(description="Its uid: a recreated claim is another one.", max_length=64)
    class_name: str = Field(
        default="",
        description="VolumeSnapshotClass to use; empty, no snapshot is taken of it.",
        max_length=NAME_MAX,
    )


class PlannedPoint(Model):
    """A point that the run makes: what one store keeps of one source."""

    source: str = Field(
        description="The source: a claim, CLAIM/PATH, or NODE:PATH.", max_length=SERIES_MAX
    )
    store: StoreName = Field(description="Where it is kept: Snapshot, Rolling or Repository.")
    claim: str | None = Field(
        default=None,
        description="The claim that has the data; left out, a node has it.",
        max_length=NAME_MAX,
    )
    made_of: StoreName | None = Field(
        default=None,
        description="The store whose point of the same claim and run it is made of; left out, it "
        "is made of the source.",
    )
    keep_days: int | None = Field(
        default=None, ge=1, description="Days that it is kept, as a point of an ad-hoc run."
    )
    late_after: Duration | None = Field(
        default=None,
        description="While it is made the run holds nothing, and it is tried again until this long "
        "after the start of the run. Left out, the run waits for it.",
    )

    @property
    def key(self) -> tuple[str, str]:
        """Return what a run has one point of: a source in a store."""
        return self.source, self.store


class PlannedDump(EngineChoice):
    """A dump of the frozen plan."""

    name: str = Field(description="Name of the dump in the policy.", max_length=63)
    target: Target = Field(description="Where it runs.")
    file: str = Field(description="Absolute path in the container.", max_length=1024)
    compress: bool = Field(
        default=False,
        description="Whether the file is compressed, as the policy said or left to its stores.",
    )
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
    rolling: PlannedRolling | None = Field(default=None, description="Directories to copy.")
    repository: PlannedRepository | None = Field(default=None, description="What to upload.")
    points: tuple[PlannedPoint, ...] = Field(
        default=(),
        description="The points to make, in that order: the run is Completed when all are good.",
        max_length=POINTS_MAX,
    )

    def point(self, key: tuple[str, str]) -> PlannedPoint | None:
        """Given a source and a store, return the point that is made of them, if there is one."""
        return next((p for p in self.points if p.key == key), None)

    def origin(self, key: tuple[str, str]) -> tuple[str, str] | None:
        """Given a point (source and store), return the one that it is made of, None if it is made
        of the source.
        """
        mine = self.point(key)
        if mine is None or mine.made_of is None:
            return None
        of = [p for p in self.points if (p.claim, p.store) == (mine.claim, mine.made_of)]
        # The same directory where there are several; a snapshot is of the whole claim.
        same = [p.key for p in of if p.source == mine.source]
        return next(iter([*same, *(p.key for p in of)]), None)
