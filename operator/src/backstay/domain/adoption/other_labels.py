"""What the labels of another tool say of a snapshot, in labels of ours.

Invariants: `labels_from` is what adoption writes and what the offline preview judges by, so both
give one answer; their labels are never changed.

No mark is carried over: that tool notes no time of marking, so its date stands like one set by
hand. `result` becomes good at once and counts, as everywhere, only while the snapshot is ready.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import Final

from backstay.api.common import format_time
from backstay.domain import labels, objects
from backstay.domain.calendar import TIER_LABELS, period_of
from backstay.domain.objects import Obj, dig
from backstay.domain.stores.snapshots.moments import moment_of

CARRIED: Final = (
    labels.PVC,
    labels.TYPE,
    labels.RETAIN,
    labels.RETAIN_DAYS,
    labels.DELETE_AFTER,
    labels.HOLD,
    *TIER_LABELS.values(),
)
"""Labels that are read under a foreign prefix, by our name of them."""


def renamed(key: str, prefix: str) -> str:
    """Given a label of ours and a prefix with its slash, return the label under that prefix."""
    return prefix + key.removeprefix(labels.PREFIX)


def missing_label(snapshot: Obj, prefix: str) -> str | None:
    """Given a snapshot and the other tool's prefix, return the label without which it is none of
    that tool's, None if it has all.
    """
    carried = objects.labels(snapshot)
    wanted = (renamed(key, prefix) for key in (labels.RETAIN, labels.PVC))
    return next((key for key in wanted if key not in carried), None)


def labels_from(snapshot: Obj, prefix: str, zone: tzinfo) -> dict[str, str]:
    """Given a snapshot of the other tool, its prefix and the policy's zone, return what it would
    say in labels of ours, result included. A hold of ours that a person set before stands.

    A tier label that names the snapshot's own period in any form (`2026-w47`) is put in ours
    (`w47`); whatever else it says is carried over as it stands, for retention to judge and report.
    """
    carried = objects.labels(snapshot)
    ours = {k: carried[renamed(k, prefix)] for k in CARRIED if renamed(k, prefix) in carried}
    if labels.HOLD in carried:
        ours[labels.HOLD] = carried[labels.HOLD]
    taken = moment_of(snapshot, zone, prefix=prefix)
    for tier, key in TIER_LABELS.items():
        if key in ours and taken is not None:
            period = period_of(tier, taken, zone)
            ours[key] = period.value if period.is_named_by(ours[key]) else ours[key]
    ours[labels.RESULT] = labels.Result.GOOD.value
    return ours


def moments_from(snapshot: Obj, prefix: str, zone: tzinfo) -> dict[str, str]:
    """Given a snapshot of the other tool, its prefix and the policy's zone, return what it would
    say of its moments in annotations of ours.
    """
    notes = objects.annotations(snapshot)
    found = {k: notes[k] for k in (labels.GOOD_SINCE,) if k in notes}
    taken = moment_of(snapshot, zone, prefix=prefix)
    return found if taken is None else found | {labels.TAKEN_AT: format_time(taken)}


def as_adopted(snapshot: Obj, prefix: str, zone: tzinfo, held: frozenset[str] = frozenset()) -> Obj:
    """Given a snapshot of the other tool, its prefix, the policy's zone and the uids of those that
    get a hold, return it as adoption would label it, as if no labels of ours were there but a hold.
    """
    ours = labels_from(snapshot, prefix, zone)
    if objects.uid(snapshot) in held:
        ours.setdefault(labels.HOLD, "true")
    # Once: what that tool's labels say of it must not change with what is done to them later.
    notes = moments_from(snapshot, prefix, zone)
    notes[labels.ADOPTED] = prefix.removesuffix("/")
    return {
        **snapshot,
        "metadata": {**objects.meta(snapshot), "labels": ours, "annotations": notes},
    }


def is_complete(snapshot: Obj, prefix: str) -> bool:
    """Given a snapshot and the other tool's prefix, return whether it is the tool's, and there to
    stay.
    """
    going = dig(snapshot, "metadata", "deletionTimestamp")
    return missing_label(snapshot, prefix) is None and not going


def claim_of(snapshot: Obj, prefix: str) -> str:
    """Given a snapshot of the other tool, return the claim that it says it is of."""
    return objects.labels(snapshot).get(renamed(labels.PVC, prefix), "")
