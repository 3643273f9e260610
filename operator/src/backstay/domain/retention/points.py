"""What retention reads and what it answers: a point, the rules of a policy, a verdict.

Invariant: a point's labels are the only copy of what they say. Everything else about it is read
from them here, so a hand edit or an applied verdict can never disagree with another field.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, tzinfo
from typing import Final

from backstay.domain import labels
from backstay.domain.calendar import Tier, parse_date
from backstay.domain.labels import Result, Retain, RunType
from backstay.domain.retention.incarnations import Origin

MAX_RETAIN_DAYS: Final = 36500
_RESULTS: Final = {word.value: word for word in Result}
_RETAINS: Final = {word.value: word for word in Retain}
_RUN_TYPES: Final = {word.value: word for word in RunType}


@dataclass(frozen=True, slots=True)
class Point:
    """One artifact of a series, as read from its carrier.

    A carrier whose snapshot, content or source is known to be gone is left out by the caller; a
    pending one whose run is gone comes as failed.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str
    claim: str
    taken: datetime
    """When it was taken, by what our own run knows of it (`moments`). Aware."""
    ready: bool
    labels: Mapping[str, str]
    marked_at: str | None = None
    """The annotation as it stands: when retention set delete-after."""
    in_use: str | None = None
    """The annotation as it stands: the uid of the request that restores from it."""
    named_by: str | None = None
    """What else names it, in words: a request that has not claimed it yet, a claim that waits."""
    deleting: bool = False
    """metadata.deletionTimestamp is set: it counts in nothing any more."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Bytes of what the run put into it, by name: its dumps. {} where nothing says so."""
    forms: Mapping[str, str] = field(default_factory=dict)
    """How each of these was written: only sizes of one form are compared."""
    good_since: datetime | None = None
    """Since when it is what it is: nothing goes within a grace of that. None: long since."""
    real: bool = True
    """A backup that a run of ours made: no safety copy of a restore, no other tool's snapshot."""
    origin: Origin = field(default_factory=Origin)
    """Whose data it holds."""
    released: str | None = None
    """The delete-after that a person released although many points go at once."""

    def __post_init__(self) -> None:
        if self.taken.tzinfo is None:
            raise ValueError(f"{self.name}: taken must be an aware datetime")

    @property
    def order(self) -> tuple[datetime, str]:
        """The place in the series: by the moment taken, then by name."""
        return self.taken, self.name

    @property
    def user(self) -> str | None:
        """Who uses it, in words; None if nobody is known to."""
        return self.in_use or self.named_by

    @property
    def result(self) -> Result | None:
        """None where the label is missing or unknown."""
        return _RESULTS.get(self.labels.get(labels.RESULT, ""))

    @property
    def retain(self) -> Retain | None:
        """None where the label is missing or unknown."""
        return _RETAINS.get(self.labels.get(labels.RETAIN, ""))

    @property
    def counts(self) -> bool:
        """Whether the rules see it: it may fill tiers, and `last` and `within` may keep it."""
        return (
            self.result is Result.GOOD and self.ready and self.retain is Retain.DAILY_WEEKLY_MONTHLY
        )

    @property
    def run_type(self) -> RunType | None:
        """None where the label is missing or unknown."""
        return _RUN_TYPES.get(self.labels.get(labels.TYPE, ""))

    @property
    def retain_days(self) -> int | None:
        """Days from 0 to MAX_RETAIN_DAYS; None where the label is absent or says no such thing."""
        text = self.labels.get(labels.RETAIN_DAYS, "")
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_RETAIN_DAYS))):
            return None
        days = int(text)
        return days if days <= MAX_RETAIN_DAYS else None

    @property
    def is_held(self) -> bool:
        """Whether its labels say so (`is_held`)."""
        return is_held(self.labels)

    @property
    def delete_after(self) -> date | None:
        """None where the label is absent or no strict YYYY-MM-DD."""
        return parse_date(self.labels.get(labels.DELETE_AFTER, ""))

    @property
    def marked(self) -> datetime | None:
        """When retention marked it, with the offset it was written with; None where unknown."""
        if self.marked_at is None:
            return None
        try:
            at = datetime.fromisoformat(self.marked_at)
        except ValueError:
            return None
        return at if at.tzinfo is not None else None

    @property
    def is_marked_by_retention(self) -> bool:
        """Whether its date is still the one that marking wrote.

        The annotation's own offset decides, not the policy's zone: that may have changed since.
        """
        return self.marked is not None and self.delete_after == self.marked.date()


def is_held(carried: Mapping[str, str]) -> bool:
    """Return whether an artifact with these labels is held. Any word but `false` holds: whoever
    writes `hold: yes` wants to keep the point.
    """
    return carried.get(labels.HOLD, "false") != "false"


@dataclass(frozen=True, slots=True)
class Rules:
    """A policy's retention and the zone of its dates. A count of 0 switches a rule off."""

    zone: tzinfo
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    hourly: int = 0
    yearly: int = 0
    last: int = 0
    """Newest good points that are kept without a label."""
    within: timedelta = timedelta(0)
    """Good points younger than this are kept without a label; 0 switches the rule off."""
    adhoc_days: int | None = None
    failed: int = 0
    keeps_all: bool = False
    """The policy says nothing about retention: nothing is ever marked."""

    def __post_init__(self) -> None:
        tiers = (self.hourly, self.daily, self.weekly, self.monthly, self.yearly)
        if min(*tiers, self.last, self.failed) < 0:
            raise ValueError("a retention count must not be negative")
        if self.within < timedelta(0):
            raise ValueError("the span `within` must not be negative")

    @classmethod
    def keep_everything(cls, zone: tzinfo) -> "Rules":
        """Given the policy's zone, return the rules of a policy without retention: every day,
        week and month has its keeper, and nothing is marked.
        """
        return cls(zone=zone, keeps_all=True)

    def count(self, tier: Tier) -> int | None:
        """Given a tier, return how many of its newest periods are kept; None means all."""
        if self.keeps_all and tier in {Tier.DAILY, Tier.WEEKLY, Tier.MONTHLY}:
            return None
        return {
            Tier.HOURLY: self.hourly,
            Tier.DAILY: self.daily,
            Tier.WEEKLY: self.weekly,
            Tier.MONTHLY: self.monthly,
            Tier.YEARLY: self.yearly,
        }[tier]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done with one point, and why, in plain words.

    The labels and annotations of a verdict are one patch. `sweep` starts the sweep's order; a
    verdict that sweeps changes nothing else.
    """

    point: Point
    set_labels: Mapping[str, str] = field(default_factory=dict)
    remove_labels: tuple[str, ...] = ()
    set_annotations: Mapping[str, str] = field(default_factory=dict)
    remove_annotations: tuple[str, ...] = ()
    sweep: bool = False
    reasons: tuple[str, ...] = ()
    last: bool = False
    """It is one of the newest that the rule `last` keeps, which no label says."""

    @property
    def after(self) -> Point:
        """The point as it is once its patch is written."""
        if not self.patches:
            return self.point
        carried = {**self.point.labels, **self.set_labels}
        for key in self.remove_labels:
            carried.pop(key, None)
        marked_at = self.set_annotations.get(labels.MARKED_AT, self.point.marked_at)
        if labels.MARKED_AT in self.remove_annotations:
            marked_at = None
        return replace(self.point, labels=carried, marked_at=marked_at)

    @property
    def patches(self) -> bool:
        """Whether any label or annotation is to be written."""
        return bool(
            self.set_labels or self.remove_labels or self.set_annotations or self.remove_annotations
        )
