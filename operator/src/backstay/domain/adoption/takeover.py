"""Adoption: snapshots of another tool, such as backup-ns, become points of a policy.

Invariants: a snapshot that carries labels of ours is never adopted again, so what a person wrote
there stands; of several policies that adopt one claim the oldest does it, whoever looks first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any, Final

from backstay.domain import labels, naming, objects
from backstay.domain.adoption.other_labels import as_adopted, claim_of, is_complete
from backstay.domain.errors import DataError
from backstay.domain.objects import Obj, dig
from backstay.domain.stores.snapshots.carriers import identity
from backstay.domain.stores.snapshots.moments import created, moment_of

CONDITION: Final = "Adopted"
_SHOWN: Final = 3
"""Names in a message: it has to stay readable."""


def is_asked(policy: Mapping[str, Any]) -> bool:
    """Given a policy as read, return whether there may be anything to adopt or to report."""
    conditions = dig(policy, "status", "conditions", default=[])
    reported = any(c.get("type") == CONDITION for c in conditions)
    return reported or dig(policy, "spec", "adopt") is not None


@dataclass(frozen=True, slots=True)
class Seen:
    """All that the adoption of one policy rests on."""

    policy: str
    prefix: str
    """With its slash."""
    claims: frozenset[str]
    """Of this policy: those it names, there or not, and those that its selector finds."""
    rivals: Mapping[str, str]
    """By claim: an older policy that adopts the same tool's snapshots of it."""
    snapshots: Sequence[Obj]
    """Of the namespace, with the tool's labels."""
    held: frozenset[str] = frozenset()
    """uids of those that the tool keeps and our rules would not: they get a hold."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be adopted, and what there is to report."""

    adopt: Sequence[Obj]
    """Oldest first."""
    record: Sequence[Obj]
    """Adopted before they were ready, and ready now: they get their Backup."""
    adopted: int
    """Of this policy already."""
    elsewhere: Mapping[str, int] = field(default_factory=dict)
    """By policy: snapshots of our claims that are or will be its."""
    of_no_claim: Mapping[str, int] = field(default_factory=dict)
    """By claim: unowned snapshots, of claims that are not this policy's."""
    unowned: Sequence[str] = ()
    """Names of snapshots of our claims that carry labels of ours, but of no policy: a person wrote
    them before the move, so adoption leaves the snapshot alone."""

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to write."""
        return not self.adopt and not self.record


def plan(seen: Seen) -> Plan:
    """Given what was seen, return what to adopt and what to report of the rest."""
    adopt, record, unowned, adopted = [], [], [], 0
    elsewhere, of_no_claim = Counter[str](), Counter[str]()
    for snapshot in seen.snapshots:
        if not is_complete(snapshot, seen.prefix):
            continue
        claim = claim_of(snapshot, seen.prefix)
        if is_ours(snapshot):
            owner = identity(snapshot, labels.POLICY)
            if owner != seen.policy:
                if claim in seen.claims:
                    elsewhere.update([owner] if owner else [])
                    unowned += [] if owner else [objects.name(snapshot)]
                continue
            adopted += 1
            if lacks_record(snapshot):
                record.append(snapshot)
        elif claim not in seen.claims:
            of_no_claim[claim] += 1
        elif claim in seen.rivals:
            elsewhere[seen.rivals[claim]] += 1
        else:
            adopt.append(snapshot)
    return Plan(
        sorted(adopt, key=_order),
        sorted(record, key=_order),
        adopted,
        elsewhere,
        of_no_claim,
        sorted(unowned),
    )


def is_ours(snapshot: Obj) -> bool:
    """Given a snapshot, return whether it carries labels of ours. A hold alone does not make it
    ours: a person may have set it before the move.
    """
    return any(k.startswith(labels.PREFIX) and k != labels.HOLD for k in objects.labels(snapshot))


def is_ready(snapshot: Obj) -> bool:
    """Given a snapshot, return whether it can be restored from."""
    return bool(dig(snapshot, "status", "readyToUse", default=False))


def lacks_record(snapshot: Obj) -> bool:
    """Given a snapshot of ours, return whether it was adopted, is ready and has no Backup yet.

    A Backup that was made once is not made again here: who deletes a record means it.
    """
    notes = objects.annotations(snapshot)
    return labels.ADOPTED in notes and labels.RUN not in notes and is_ready(snapshot)


def taken_of(snapshot: Obj, prefix: str, zone: tzinfo) -> datetime:
    """Given a snapshot, the other tool's prefix and the policy's zone, return when it was taken.

    Raise DataError if it has none.
    """
    taken = moment_of(snapshot, zone, prefix=prefix)
    if taken is None:
        raise DataError(f"VolumeSnapshot {objects.name(snapshot)} has no time")
    return taken


def backup_name(snapshot: Obj, seen: Seen, zone: tzinfo) -> str:
    """Given a snapshot, what was seen of its policy and the zone, return the name of its Backup."""
    taken = taken_of(snapshot, seen.prefix, zone)
    return naming.imported_name(seen.policy, taken, zone, objects.uid(snapshot))


def patch_labels(snapshot: Obj, seen: Seen, zone: tzinfo) -> tuple[dict[str, str], dict[str, str]]:
    """Given a snapshot to adopt, return the labels and annotations that make it the policy's."""
    full = {labels.PVC: claim_of(snapshot, seen.prefix), labels.POLICY: seen.policy}
    values, notes = naming.identity_labels(full)
    adopted = as_adopted(snapshot, seen.prefix, zone, seen.held)
    return objects.labels(adopted) | values, objects.annotations(adopted) | notes


@dataclass(frozen=True, slots=True)
class Report:
    """What the condition Adopted says."""

    ok: bool
    reason: str
    message: str


def report(
    plan: Plan, seen: Seen, creators: Sequence[str] = (), skipped: Sequence[str] = ()
) -> Report:
    """Given a plan that was carried out, the CronJobs that still make snapshots with the other
    tool, and why some snapshots never can be adopted, return what to report.
    """
    count = plan.adopted + len(plan.adopt) - len(skipped)
    tool = seen.prefix.removesuffix("/")
    said = [f"{count} snapshot{'s' if count != 1 else ''} of {tool} adopted"]
    if plan.elsewhere:
        others = _listed(plan.elsewhere, "policy")
        said.append(f"{others} of the same claims: the older policy has them")
    if plan.of_no_claim:
        others = _listed(plan.of_no_claim, "claim")
        said.append(
            f"{others} not adopted: the claim is none of this policy's; name it in "
            "spec.source.claims.names of a policy"
        )
    if plan.unowned:
        said.append(
            f"{len(plan.unowned)} not adopted: they carry labels {labels.PREFIX} of no policy "
            f"({_some(plan.unowned)}); take those off, all but {labels.HOLD}"
        )
    if held := _held(plan, seen):
        said.append(
            f"{len(held)} held, as {tool} keeps them and the rules of this policy would not "
            f"({_some(held)}): take {labels.HOLD} off those that may go"
        )
    said += [f"not adopted: {why}" for why in skipped[:_SHOWN]]
    if creators:
        said.append(
            f"{' and '.join(creators[:_SHOWN])} still makes snapshots with {tool}: they are "
            "adopted as they come; remove it when this policy makes its own"
        )
    if skipped:
        return Report(False, "Incomplete", "; ".join(said))
    if plan.elsewhere and not count:
        return Report(False, "AdoptedByAnother", "; ".join(said))
    return Report(True, "Adopted", "; ".join(said))


def _held(plan: Plan, seen: Seen) -> list[str]:
    """The names of those that get a hold here, or got one and still have it."""
    coming = {objects.uid(s) for s in plan.adopt}
    found = []
    for snapshot in seen.snapshots:
        carried, uid = objects.labels(snapshot), objects.uid(snapshot)
        hold = carried.get(labels.HOLD, "true" if uid in coming else "false")
        mine = uid in coming or identity(snapshot, labels.POLICY) == seen.policy
        if uid in seen.held and mine and hold != "false":
            found.append(objects.name(snapshot))
    return sorted(found)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (" and more" if names[_SHOWN:] else "")


def _listed(counts: Mapping[str, int], what: str) -> str:
    parts = [f"{counts[name]} of {what} {name or '?'}" for name in sorted(counts)]
    more = f" and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else ""
    return ", ".join(parts[:_SHOWN]) + more


def _order(snapshot: Obj) -> tuple[str, str]:
    taken = created(snapshot)
    return taken.isoformat() if taken else "", objects.name(snapshot)
