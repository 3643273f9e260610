"""What the upkeep of a policy's rolling copies rests on, made of what a pass has read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from backstay.api.common import Condition
from backstay.api.rolling_status import CopiesStatus
from backstay.api.store import ROLLING
from backstay.domain import labels, objects
from backstay.domain.objects import Obj, dig
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention import brakes
from backstay.domain.retention.brakes import Brake
from backstay.domain.retention.from_spec import rules_of
from backstay.domain.retention.points import Rules
from backstay.domain.stores.copies.incarnations import accepted_words
from backstay.domain.stores.copies.series import Kept, Planned, Shown, copying, kept_of, looks_of
from backstay.domain.upkeep import Seen as PassSeen


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a pass rests on."""

    now: datetime
    rules: Rules | None
    """None: the policy is gone."""
    kept: Sequence[Kept]
    finished: Sequence[Run] = ()
    """The Backups that are final."""
    copying: Mapping[str, str] = field(default_factory=dict)
    """By key of a series that is being copied: the Backup that does."""
    requests: frozenset[str] = frozenset()
    """uids of the RestoreRequests that are not final."""
    wanted: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    """By Backup and directory: uids of the requests that are to hold its point."""
    released: frozenset[str] = frozenset()
    clock: Brake | None = None
    policy: Obj | None = None
    conditions: tuple[Condition, ...] = ()
    looks: Mapping[str, CopiesStatus] = field(default_factory=dict)
    """By series: what the policy's status says of earlier looks."""
    rebuilt_at: datetime | None = None
    accepted: frozenset[str] = frozenset()
    """Set by a person: sources that go on the ones before."""
    named: frozenset[str] = frozenset()
    """The Backups that RestoreRequests name which have not begun yet."""


def seen_of(whole: PassSeen, planned: Sequence[Planned] = ()) -> Seen:
    """Given what was read of one policy, and the directories that it names, return what a pass over
    its copies rests on.

    Raise UserError if the policy is not valid.
    """
    runs = [run for run in whole.runs if makes_copies(run)]
    notes = objects.annotations(whole.policy or {})
    kept = kept_of(*whole.place, runs, planned)
    return Seen(
        now=whole.now,
        rules=rules_of(whole.spec, ROLLING) if whole.spec is not None else None,
        kept=kept,
        finished=[r for r in runs if r.status.phase.final],
        copying=copying(*whole.place, runs),
        requests=frozenset(map(objects.uid, whole.requests)),
        wanted=_wanted(whole.requests),
        released=brakes.released_plans(notes.get(labels.RELEASE_RETENTION)),
        clock=whole.clock,
        policy=whole.policy,
        conditions=whole.status.conditions,
        looks=looks_of(whole.status, kept),
        rebuilt_at=whole.status.rebuilt_at,
        accepted=accepted_words(notes.get(labels.ACCEPT_CLAIM), notes.get(labels.ACCEPT_SOURCE)),
        named=_named(whole.requests),
    )


def concerns(whole: PassSeen) -> bool:
    """Given what was read of one policy, return whether it keeps rolling copies, or has records of
    some.
    """
    keeps = whole.spec is not None and whole.spec.rolling is not None
    return keeps or any(map(makes_copies, whole.runs))


def makes_copies(run: Run) -> bool:
    """Given a Backup, return whether it makes rolling copies."""
    return run.status.plan is not None and run.status.plan.rolling is not None


def _named(requests: Sequence[Obj]) -> frozenset[str]:
    """The Backups that requests name which have not looked at them yet."""
    waiting = (r for r in requests if not dig(r, "status", "items"))
    return frozenset(str(dig(r, "spec", "from", "backup", default="")) for r in waiting)


def _wanted(requests: Sequence[Obj]) -> dict[tuple[str, str], frozenset[str]]:
    """By Backup and directory: the requests under way that restore from it."""
    found: dict[tuple[str, str], frozenset[str]] = {}
    for request in requests:
        for item in dig(request, "status", "items", default=[]):
            if item.get("store") != ROLLING:
                continue
            place = str(dig(request, "status", "backup", default="")), str(item.get("source"))
            found[place] = found.get(place, frozenset()) | {objects.uid(request)}
    return found


def is_missing(shown: Shown) -> bool:
    """Given a point as a Backup shows it, return whether the last list did not find it."""
    return shown.entry.rolling is not None and shown.entry.rolling.missing
