"""What a pass over one policy rests on, made of what was read."""

from __future__ import annotations

from datetime import datetime

from backstay.api.policy_status import PolicyStatus
from backstay.domain import objects
from backstay.domain.retention import brakes
from backstay.domain.upkeep import Seen
from backstay.reconcile.runs import parse, parse_policy_spec
from backstay.reconcile.world import Place, World
from backstay.steps.conditions import policy_status


def seen(world: World, place: Place, now: datetime, brake: brakes.Brake | None = None) -> Seen:
    """Given what was read, a policy, now and whether our clock is off, return what its retention
    rests on.

    Raise UserError if the policy is not valid, DataError if what was read is not.
    """
    policy = world.policies.get(place)
    names = world.content_names(place)
    return Seen(
        now=now,
        place=place,
        policy=policy,
        # Parsed once for all stores: the resync makes one of these of every policy.
        spec=parse_policy_spec(policy) if policy is not None else None,
        status=policy_status(policy) if policy is not None else PolicyStatus(),
        runs=[parse(backup) for backup in world.backups.get(place, ())],
        requests=[r for r in world.requests if objects.namespace(r) == place[0]],
        snapshots=world.snapshots.get(place, []),
        unlabelled=world.unlabelled,
        # Only its own: what is planned for one policy rests on nothing of another's.
        contents={n: world.contents[n] for n in names if n in world.contents},
        repositories=world.repositories_of(place),
        clock=brake,
    )
