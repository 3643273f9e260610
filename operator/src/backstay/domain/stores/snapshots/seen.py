"""What the retention of a policy's snapshots rests on, made of what a pass has read."""

from __future__ import annotations

from backstay.api.store import SNAPSHOT
from backstay.domain import labels, objects
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention import brakes, replaced
from backstay.domain.retention.from_spec import rules_of
from backstay.domain.retention.shrinkage import accepted_sizes
from backstay.domain.stores.snapshots.judging import Seen
from backstay.domain.stores.snapshots.users import named_by_claims, named_by_requests
from backstay.domain.upkeep import Seen as PassSeen


def seen_of(whole: PassSeen) -> Seen:
    """Given what was read of one policy, return what the retention of its snapshots rests on.

    Raise UserError if the policy is not valid.
    """
    notes = objects.annotations(whole.policy or {})
    finished = [r for r in whole.runs if r.status.phase.final and takes_snapshots(r)]
    named = named_by_requests(whole.snapshots, whole.requests)
    return Seen(
        now=whole.now,
        rules=rules_of(whole.spec, SNAPSHOT) if whole.spec is not None else None,
        snapshots=whole.snapshots,
        contents=whole.contents,
        running=frozenset(r.uid for r in whole.runs if not r.status.phase.final),
        requests=frozenset(map(objects.uid, whole.requests)),
        released=brakes.released_plans(notes.get(labels.RELEASE_RETENTION)),
        accepted=accepted_sizes(notes.get(labels.ACCEPT_SIZE)),
        same=replaced.accepted(notes.get(labels.ACCEPT_CLAIM)),
        named={**named_by_claims(whole.claims), **named},
        clock=whole.clock,
        policy=whole.policy if concerns(whole) else None,
        conditions=whole.status.conditions,
        finished=finished,
        unlabelled=whole.unlabelled,
    )


def concerns(whole: PassSeen) -> bool:
    """Given what was read of one policy, return whether it keeps snapshots, or has any: of a policy
    that has none there is nothing to say.
    """
    keeps = whole.spec is not None and whole.spec.snapshots is not None
    had = any(r.status.phase.final and takes_snapshots(r) for r in whole.runs)
    return keeps or had or bool(whole.snapshots)


def takes_snapshots(run: Run) -> bool:
    """Given a Backup, return whether it takes snapshots. One without a plan may be of any store."""
    plan = run.status.plan
    return plan is None or any(claim.class_name for claim in plan.claims) or plan.rolling is None
