"""BackupPolicy: what to protect, when, and how long to keep it."""

from __future__ import annotations

from typing import ClassVar, Final

from pydantic import Field

from backstay.api.common import GROUP, Model
from backstay.api.dumps import Dump
from backstay.api.hooks import Hooks
from backstay.api.meta import Column, CrdMeta
from backstay.api.repository_store import Repository
from backstay.api.retention import Retention, keeps_none
from backstay.api.rolling import Rolling
from backstay.api.schedule import Schedule
from backstay.api.shapes import (
    LabelPrefix,
)
from backstay.api.snapshot import Snapshot
from backstay.api.source import Source
from backstay.api.store import REPOSITORY, ROLLING, SNAPSHOT
from backstay.api.store_rules import POLICY_RULES

DUMPS_MAX: Final = 16
"""Dumps of one policy."""


class Adopt(Model):
    """Snapshots of another tool that the policy takes over."""

    cel_rules: ClassVar = (
        (
            f"self.labelPrefix != '{GROUP}' && !self.labelPrefix.endsWith('.{GROUP}')",
            f"labelPrefix is the other tool's, such as backup-ns.sh: {GROUP} is our own",
        ),
    )

    label_prefix: LabelPrefix = Field(
        description="Prefix of that tool's labels, without its slash, such as backup-ns.sh. "
        "Snapshots in the policy's namespace with its labels retain and pvc, of a claim of this "
        "policy, get the same labels with our prefix; theirs stay. Refused while that tool's "
        "pruner runs: condition Adopted says so."
    )


class PolicySpec(Model):
    """Spec of a BackupPolicy."""

    cel_rules: ClassVar = (
        (
            "!has(self.dumps) || self.dumps.all(d, self.dumps.exists_one(e, e.file == d.file "
            "&& e.target.kind == d.target.kind && e.target.name == d.target.name))",
            "two dumps of one target write the same file: give each its own",
        ),
        (
            "!has(self.source.claims) || !has(self.source.claims.ofDumps) || "
            "!self.source.claims.ofDumps || "
            "(has(self.dumps) && size(self.dumps) > 0)",
            "source.claims.ofDumps means the claims of dumps, and there are none: add dumps, or "
            "name the claims",
        ),
        (
            f"!has(self.schedule) || !has(self.retention) || !({keeps_none('self.retention')})",
            "retention keeps no point of the schedule: set last, within, hourly, daily, weekly, "
            "monthly or yearly, or leave retention out to keep everything",
        ),
        *(
            (
                f"!has(self.schedule) || !has(self.{store}) || !has(self.{store}.retention) || "
                f"!({keeps_none(f'self.{store}.retention')})",
                f"{store}.retention keeps no point of the schedule: set last, within, hourly, "
                "daily, weekly, monthly or yearly, or leave it out",
            )
            for store in ("snapshot", "rolling", "repository")
        ),
        *POLICY_RULES,
    )

    suspend: bool = Field(
        default=False, description="No new scheduled runs; ad-hoc runs and retention go on."
    )
    schedule: Schedule | None = Field(
        default=None, description="When runs start; left out, only ad-hoc Backups run."
    )
    source: Source = Field(description="What is protected.")
    dumps: tuple[Dump, ...] = Field(
        default=(),
        description="Dumps, taken in order before the snapshots.",
        max_length=DUMPS_MAX,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    hooks: Hooks | None = Field(
        default=None, description="Commands in containers around the snapshots."
    )
    snapshot: Snapshot | None = Field(
        default=None,
        description="Keep CSI snapshots of the claims. Left out, a policy keeps them with their "
        "defaults, unless it names another store.",
    )
    rolling: Rolling | None = Field(
        default=None,
        description="Keep hard-link copies of the source's directories, alone or beside snapshots.",
    )
    repository: Repository | None = Field(
        default=None,
        description="Keep copies of the claims in a restic repository, off the cluster, alone or "
        "beside the other stores.",
    )
    retention: Retention | None = Field(
        default=None,
        description="How long points are kept, in every store that has no retention of its own; "
        "left out, everything is kept.",
    )
    retries: int = Field(
        default=2, ge=0, le=10, description="Further attempts of a run after the first failed."
    )
    adopt: Adopt | None = Field(
        default=None,
        description="Take over the snapshots of another tool; what was taken over stays so when "
        "this is left out again.",
    )

    @property
    def snapshots(self) -> Snapshot | None:
        """Return how snapshots are taken; None if none are."""
        others = self.rolling or self.repository
        return self.snapshot or (Snapshot() if others is None else None)

    @property
    def stores(self) -> tuple[str, ...]:
        """Return the stores that the policy keeps its points in."""
        kept = {SNAPSHOT: self.snapshots, ROLLING: self.rolling, REPOSITORY: self.repository}
        return tuple(store for store, block in kept.items() if block is not None)

    def retention_of(self, store: str) -> Retention | None:
        """Given a store, return how long its points are kept; None: everything is."""
        blocks = {SNAPSHOT: self.snapshot, ROLLING: self.rolling, REPOSITORY: self.repository}
        own = blocks.get(store)
        return (own.retention if own else None) or self.retention


POLICY_META: Final = CrdMeta(
    kind="BackupPolicy",
    plural="backuppolicies",
    singular="backuppolicy",
    short_names=("bp",),
    description="Says what to protect, when, and how long to keep it.",
    name_max=220,
    columns=(
        Column("Schedule", ".spec.schedule.cron", "When runs start."),
        Column("Suspend", ".spec.suspend", "Whether scheduled runs are suspended.", "boolean"),
        Column("Last Success", ".status.lastSuccess", "Age of the newest success.", "date"),
        Column("Next Run", ".status.nextRun", "When the next run starts."),
        Column(
            "Ready",
            '.status.conditions[?(@.type=="Ready")].status',
            "Whether the policy is valid.",
        ),
        Column("Good", ".status.good", "Good points that exist.", "integer"),
        Column("Age", ".metadata.creationTimestamp", "Age of the policy.", "date"),
        Column(
            "Reason",
            '.status.conditions[?(@.type=="Ready")].reason',
            "Why it is or is not Ready.",
            wide=True,
        ),
    ),
)
