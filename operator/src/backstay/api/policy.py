"""BackupPolicy: what to protect, when, and how long to keep it."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import ClassVar, Final

from pydantic import Field

from backstay.api.common import CONDITIONS_MAX, GROUP, Condition, Duration, Model, Time
from backstay.api.dumps import Dump
from backstay.api.hooks import Hooks
from backstay.api.meta import Column, CrdMeta
from backstay.api.retention import Retention, keeps_none
from backstay.api.rolling import SERIES_MAX, CopiesStatus, HostPathSource, Rolling
from backstay.api.rolling_rules import POLICY_RULES
from backstay.api.schedule import MISSED_MAX, EarlyRuns, MissedSlots, Schedule
from backstay.api.shapes import (
    LabelKey,
    LabelPrefix,
    LabelValue,
    ObjectName,
    RelativePath,
)
from backstay.api.store import ROLLING, SNAPSHOT, StoreName

LIST_MAX: Final = 64
"""Bound of lists of names: CEL's cost estimate needs one."""

DUMPS_MAX: Final = 16
"""Dumps of one policy."""

CLAIMS_MAX: Final = 256
"""Claims of one run, those that selectors choose included."""

SHOWN_MAX: Final = CLAIMS_MAX
"""Series that a status shows. There may be more: claims come and go, their points stay."""


class SelectorOperator(StrEnum):
    """Relations of a label to the values of an expression."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class LabelExpression(Model):
    """One expression of a label selector (metav1.LabelSelectorRequirement)."""

    cel_rules: ClassVar = (
        (
            "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
            "values are required for In and NotIn, and must be left out for Exists and "
            "DoesNotExist",
        ),
    )

    key: LabelKey = Field(description="The label.")
    operator: SelectorOperator = Field(description="How the label's value relates to values.")
    values: tuple[LabelValue, ...] = Field(
        default=(), description="Values for In and NotIn.", max_length=LIST_MAX
    )


class LabelSelector(Model):
    """Chooses claims by their labels (metav1.LabelSelector)."""

    cel_rules: ClassVar = (
        (
            "(has(self.matchLabels) && size(self.matchLabels) > 0) || "
            "(has(self.matchExpressions) && size(self.matchExpressions) > 0)",
            "selector is empty and would match every claim: name at least one label",
        ),
    )

    match_labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, description="Labels and the values they must have.", max_length=32
    )
    match_expressions: tuple[LabelExpression, ...] = Field(
        default=(), description="Expressions that must all hold.", max_length=32
    )


class ClaimSource(Model):
    """The claims to snapshot: the union of what is said, in the policy's namespace."""

    cel_rules: ClassVar = (
        (
            "(has(self.names) && size(self.names) > 0) || has(self.selector) || "
            "(has(self.ofDumps) && self.ofDumps)",
            "claims needs names, a selector, or ofDumps: true",
        ),
    )

    names: tuple[ObjectName, ...] = Field(
        default=(),
        description="PersistentVolumeClaims by name.",
        max_length=LIST_MAX,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    selector: LabelSelector | None = Field(
        default=None, description="PersistentVolumeClaims by label, looked up at each run."
    )
    of_dumps: bool = Field(
        default=False,
        description="The claims that the dumps are written to, in whatever pod each is taken: "
        "looked up at each run through the volumeMounts of the pod that target.prefer chooses.",
    )
    sub_path: RelativePath | None = Field(
        default=None,
        description="The directory of each claim that a rolling copy is made of; left out, all of "
        "it. A snapshot always holds the whole claim.",
    )


class Source(Model):
    """What the policy protects: exactly one of its fields."""

    cel_rules: ClassVar = (
        (
            "has(self.claims) != has(self.hostPath)",
            "source needs exactly one of claims and hostPath",
        ),
    )

    claims: ClaimSource | None = Field(
        default=None, description="PersistentVolumeClaims of the policy's namespace."
    )
    host_path: HostPathSource | None = Field(
        default=None, description="Directories of one node, kept as rolling copies."
    )


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
            for store in ("snapshot", "rolling")
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
        return self.snapshot or (Snapshot() if self.rolling is None else None)

    @property
    def stores(self) -> tuple[str, ...]:
        """Return the stores that the policy keeps its points in."""
        kept = {SNAPSHOT: self.snapshots, ROLLING: self.rolling}
        return tuple(store for store, block in kept.items() if block is not None)

    def retention_of(self, store: str) -> Retention | None:
        """Given a store, return how long its points are kept; None: everything is."""
        own = {SNAPSHOT: self.snapshot, ROLLING: self.rolling}.get(store)
        return (own.retention if own else None) or self.retention


class SeriesStatus(Model):
    """What one store keeps of one source."""

    source: str = Field(
        description="The source: a claim, CLAIM/PATH, or NODE:PATH.", max_length=SERIES_MAX
    )
    store: StoreName = Field(description="Where it is kept: Snapshot or Rolling.")
    good: int = Field(ge=0, description="Good points that exist.")
    newest: Time | None = Field(default=None, description="When the newest good point was taken.")


class PolicyStatus(Model):
    """Status of a BackupPolicy."""

    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="Ready: the policy is valid and its runs can start. RetentionHeld: nothing is "
        "marked or swept for now, and why. Shrunk: a dump is under half of the one before, and "
        "nothing of that claim is marked or swept. Rot: files of rolling copies are not as they "
        "were copied. CopiesMissing: rolling copies were not found at their destination, and "
        "nothing of that directory is marked or swept. Adopted: whether the snapshots that "
        "spec.adopt speaks of are taken over.",
        max_length=CONDITIONS_MAX,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    observed_generation: int = Field(
        default=0, ge=0, description="The metadata.generation that this status speaks of."
    )
    last_slot: Time | None = Field(
        default=None,
        description="Newest slot of the schedule that has its Backup or was missed.",
    )
    schedule: str | None = Field(
        default=None,
        description="The schedule and zone that were seen last: when they change, no slot before "
        "the change runs.",
        max_length=256,
    )
    resumed_at: Time | None = Field(
        default=None,
        description="When the policy was last unsuspended or its schedule changed: no slot before "
        "it runs.",
    )
    suspended: bool = Field(default=False, description="Whether suspend was seen set.")
    next_run: str | None = Field(
        default=None,
        description="When the next run starts, in the policy's zone, jitter and blackouts "
        "included. A time that is past: it waits for the run before it.",
        max_length=64,
    )
    missed: tuple[MissedSlots, ...] = Field(
        default=(),
        description="What the schedule asked for and did not get, oldest first; the newest "
        "entries. Slots of a suspended policy are not missed.",
        max_length=MISSED_MAX,
    )
    early: EarlyRuns | None = Field(
        default=None,
        description="Slots that have run before their time, by a clock that was ahead.",
    )
    last_run: Time | None = Field(default=None, description="When the newest run started.")
    last_success: Time | None = Field(
        default=None,
        description="When the newest run that was Completed took its points; series reports each "
        "claim or directory.",
    )
    rebuilt_at: Time | None = Field(
        default=None, description="When the records were last recreated from the artifacts."
    )
    good: int = Field(default=0, ge=0, description="Good points of all series.")
    series: tuple[SeriesStatus, ...] = Field(
        default=(),
        description=f"What exists of each claim; of more than {SHOWN_MAX}, those with the newest "
        "points. What is not shown is kept and counted in good all the same.",
        max_length=SHOWN_MAX,
    )
    copies: tuple[CopiesStatus, ...] = Field(
        default=(),
        description="When the rolling copies of each directory were looked at, and what was found; "
        f"of more than {SHOWN_MAX}, those that the policy names and those copied last: the others "
        "are not listed, scrubbed or pruned.",
        max_length=SHOWN_MAX,
    )


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
