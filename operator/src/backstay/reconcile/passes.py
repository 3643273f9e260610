"""What the passes over one policy rest on, made of what was read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from backstay.api.store import StoreKind
from backstay.domain import labels, objects, upkeep
from backstay.domain.objects import Obj, dig
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention import brakes, replaced
from backstay.domain.retention.shrinkage import accepted_sizes
from backstay.domain.stores.copies import series as rolling_series
from backstay.domain.stores.copies.incarnations import accepted_words
from backstay.domain.stores.copies.series import kept_of, looks_of
from backstay.domain.stores.copies.upkeep import Seen as CopiesSeen
from backstay.domain.stores.snapshots.carriers import rules_of
from backstay.domain.stores.snapshots.upkeep import Seen as SnapshotsSeen
from backstay.domain.stores.snapshots.users import named_by_requests
from backstay.reconcile.runs import parse, parse_policy_spec
from backstay.reconcile.world import Place, World
from backstay.steps.conditions import policy_status


def seen(
    world: World, place: Place, now: datetime, brake: brakes.Brake | None = None
) -> upkeep.Seen:
    """Given what was read, a policy, now and whether our clock is off, return what its retention
    rests on.

    Raise UserError if the policy is not valid, DataError if what was read is not.
    """
    snapshots = snapshots_seen(world, place, now, brake)
    return upkeep.Seen(
        snapshots,
        copies_seen(world, place, now, brake=brake) if world.keeps_copies(place) else None,
        world.policies.get(place),
        snapshots.conditions,
    )


def snapshots_seen(
    world: World, place: Place, now: datetime, brake: brakes.Brake | None = None
) -> SnapshotsSeen:
    """Given what was read, a policy, now and whether our clock is off, return what the retention of
    its snapshots rests on.

    Raise UserError if the policy is not valid, DataError if what was read is not.
    """
    policy = world.policies.get(place)
    # Once: the resync makes one of these of every policy.
    spec = parse_policy_spec(policy) if policy is not None else None
    notes = objects.annotations(policy) if policy is not None else {}
    runs = [parse(b) for b in world.backups.get(place, ())]
    names = world.content_names(place)
    finished = [r for r in runs if r.status.phase.final and takes_snapshots(r)]
    keeps = spec is not None and spec.snapshots is not None
    concerned = keeps or finished or world.snapshots.get(place)
    return SnapshotsSeen(
        now=now,
        rules=rules_of(spec, StoreKind.SNAPSHOT) if spec is not None else None,
        snapshots=world.snapshots.get(place, []),
        contents={n: world.contents[n] for n in names if n in world.contents},
        running=frozenset(r.uid for r in runs if not r.status.phase.final),
        requests=frozenset(
            objects.uid(r) for r in world.requests if objects.namespace(r) == place[0]
        ),
        released=brakes.released_plans(notes.get(labels.RELEASE_RETENTION)),
        accepted=accepted_sizes(notes.get(labels.ACCEPT_SIZE)),
        same=replaced.accepted(notes.get(labels.ACCEPT_CLAIM)),
        named=named_by_requests(world.snapshots.get(place, ()), world.requests),
        clock=brake,
        # Of snapshots there is nothing to say where a policy keeps none.
        policy=policy if concerned else None,
        conditions=policy_status(policy).conditions if policy is not None else (),
        finished=finished,
        unlabelled=world.unlabelled,
    )


def copies_seen(
    world: World,
    place: Place,
    now: datetime,
    planned: Sequence[rolling_series.Planned] = (),
    brake: brakes.Brake | None = None,
) -> CopiesSeen:
    """Given what was read, a policy's address, now, the directories that the policy names, and
    whether our clock is off, return what a pass over its copies rests on.

    Raise UserError if the policy is not valid, DataError if what was read is not.
    """
    policy = world.policies.get(place)
    spec = parse_policy_spec(policy) if policy is not None else None
    runs = [run for run in map(parse, world.backups.get(place, ())) if makes_copies(run)]
    requests = [r for r in world.requests if objects.namespace(r) == place[0]]
    status = policy_status(policy) if policy is not None else None
    notes = objects.annotations(policy or {})
    kept = kept_of(*place, runs, planned)
    return CopiesSeen(
        now=now,
        rules=rules_of(spec, StoreKind.ROLLING) if spec is not None else None,
        kept=kept,
        finished=[r for r in runs if r.status.phase.final],
        copying=rolling_series.copying(*place, runs),
        requests=frozenset(map(objects.uid, requests)),
        wanted=_wanted(requests),
        released=brakes.released_plans(notes.get(labels.RELEASE_RETENTION)),
        clock=brake,
        policy=policy,
        conditions=status.conditions if status else (),
        looks=looks_of(status, kept) if status else {},
        rebuilt_at=status.rebuilt_at if status else None,
        accepted=accepted_words(notes.get(labels.ACCEPT_CLAIM), notes.get(labels.ACCEPT_SOURCE)),
        named=_named(requests),
    )


def makes_copies(run: Run) -> bool:
    """Given a Backup, return whether it makes rolling copies."""
    return run.status.plan is not None and run.status.plan.rolling is not None


def takes_snapshots(run: Run) -> bool:
    """Given a Backup, return whether it takes snapshots. One without a plan may be of any store."""
    plan = run.status.plan
    return plan is None or any(claim.class_name for claim in plan.claims) or plan.rolling is None


def _named(requests: Sequence[Obj]) -> frozenset[str]:
    """The Backups that requests name which have not looked at them yet."""
    waiting = (r for r in requests if not dig(r, "status", "items"))
    return frozenset(str(dig(r, "spec", "from", "backup", default="")) for r in waiting)


def _wanted(requests: Sequence[Obj]) -> dict[tuple[str, str], frozenset[str]]:
    """By Backup and directory: the requests under way that restore from it."""
    found: dict[tuple[str, str], frozenset[str]] = {}
    for request in requests:
        for item in dig(request, "status", "items", default=[]):
            if item.get("store") != StoreKind.ROLLING:
                continue
            place = str(dig(request, "status", "backup", default="")), str(item.get("source"))
            found[place] = found.get(place, frozenset()) | {objects.uid(request)}
    return found
