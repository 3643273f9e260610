"""What a retention pass would do with each snapshot, in words: nothing is written.

Invariants: verdicts come from `judging.judged`, which the operator's pass acts on; every snapshot
that is handed in gets exactly one line, in the order given; one that cannot be judged gets a line
without a change that says why.

Adopted snapshots carry the labels of another tool under its own prefix. They are judged as if the
labels were ours: a ready one is good, and as that tool wrote no marked-at, a date alone decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from backstay.domain import labels, objects
from backstay.domain.adoption import other_labels
from backstay.domain.adoption.other_retention import to_hold
from backstay.domain.errors import DataError
from backstay.domain.objects import Obj, dig
from backstay.domain.retention import replaced
from backstay.domain.retention.brakes import released_plans
from backstay.domain.retention.expiry import tiers_of
from backstay.domain.retention.points import Rules, Verdict
from backstay.domain.retention.shrinkage import accepted_sizes
from backstay.domain.stores.copies import upkeep
from backstay.domain.stores.copies.seen import Seen as CopiesSeen
from backstay.domain.stores.repository import upkeep as stored_upkeep
from backstay.domain.stores.repository.seen import Seen as StoredSeen
from backstay.domain.stores.snapshots.judging import Seen, judged
from backstay.domain.times import parse_time


@dataclass(frozen=True, slots=True)
class Preview:
    """What would happen to one snapshot. Labels stand with their prefix."""

    namespace: str
    name: str
    claim: str = ""
    taken: datetime | None = None
    """Aware; None where the snapshot does not say it."""
    tiers: tuple[str, ...] = ()
    """Those that it will carry."""
    set_labels: Mapping[str, str] = field(default_factory=dict)
    remove_labels: tuple[str, ...] = ()
    delete: bool = False
    """A sweep would delete it now."""
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What happens to annotations, in words."""


def of_pass(seen: Seen) -> list[Preview]:
    """Given what a pass rests on, return what it would do, one line per snapshot."""
    return _previews(seen, _of_verdict)


def of_copies(seen: CopiesSeen) -> list[Preview]:
    """Given what a pass over rolling copies rests on, return what it would do, line by copy."""
    return [
        _of_point(kept.series.namespace, shown.entry.source, verdict)
        for kept in seen.kept
        for shown, verdict in zip(kept.shown, upkeep.judged(seen, kept)[0], strict=True)
    ]


def of_stored(seen: StoredSeen) -> list[Preview]:
    """Given what a pass over points in repositories rests on, return what it would do with each."""
    return [
        _of_point(verdict.point.namespace, shown.entry.source, verdict)
        for one in stored_upkeep.judged(seen)
        for shown, verdict in zip(one.kept.shown, one.verdicts, strict=True)
    ]


def _of_point(namespace: str, source: str, verdict: Verdict) -> Preview:
    """What happens to a point that a Backup shows."""
    return Preview(
        namespace=namespace,
        name=verdict.point.name,
        claim=source,
        taken=verdict.point.taken,
        tiers=tiers_of(verdict.after),
        set_labels=verdict.set_labels,
        remove_labels=verdict.remove_labels,
        delete=verdict.sweep,
        reasons=verdict.reasons,
    )


def of_unwatched(
    snapshots: Sequence[Obj],
    rules: Rules | None,
    now: datetime,
    notes: Mapping[str, str] | None = None,
) -> list[Preview]:
    """Given snapshots of one policy without the runs and requests that they name, and the
    annotations of the policy, return what a pass would do if those were still under way: a pending
    one is not touched, and one in use is not deleted.
    """
    let_pass = notes or {}
    carried = [objects.annotations(s) for s in snapshots]
    return of_pass(
        Seen(
            now=now,
            rules=rules,
            snapshots=snapshots,
            contents={},
            running=frozenset(n.get(labels.RUN, "") for n in carried),
            requests=frozenset(
                u for n in carried for u in n.get(labels.IN_USE, "").split(",") if u
            ),
            released=released_plans(let_pass.get(labels.RELEASE_RETENTION)),
            accepted=accepted_sizes(let_pass.get(labels.ACCEPT_SIZE)),
            same=replaced.accepted(let_pass.get(labels.ACCEPT_CLAIM)),
            looked=False,
        )
    )


def of_adopted(snapshots: Sequence[Obj], rules: Rules, now: datetime, prefix: str) -> list[Preview]:
    """Given any snapshots and the other tool's label prefix (with its slash), return what a pass
    would do with them under these rules, in labels of that prefix.

    Only those with the tool's `retain` and `pvc` labels are judged.
    """
    snapshots = [_with_uid(snapshot) for snapshot in snapshots]
    held = to_hold(snapshots, prefix, rules, now)
    carried = {objects.uid(s): other_labels.labels_from(s, prefix, rules.zone) for s in snapshots}
    already = {uid for uid, values in carried.items() if labels.HOLD in values}

    def of_verdict(snapshot: Obj, verdict: Verdict) -> Preview:
        hold = objects.uid(snapshot) in held - already
        return _in_other_labels(_of_labels(snapshot, verdict), prefix, hold=hold)

    lines: list[Preview | None] = []
    taken_over = []
    for snapshot in snapshots:
        if (missing := other_labels.missing_label(snapshot, prefix)) is not None:
            reason = f"no label {missing}: not touched"
            lines.append(_untouched(snapshot, reason, other_labels.claim_of(snapshot, prefix)))
        else:
            lines.append(None)
            taken_over.append(other_labels.as_adopted(snapshot, prefix, rules.zone, held))
    seen = Seen(
        now=now,
        rules=rules,
        snapshots=taken_over,
        contents={},
        running=frozenset(),
        requests=frozenset(),
        looked=False,
    )
    judged_lines = iter(_previews(seen, of_verdict))
    return [line if line is not None else next(judged_lines) for line in lines]


def _in_other_labels(line: Preview, prefix: str, *, hold: bool) -> Preview:
    changed = {**line.set_labels, **({labels.HOLD: "true"} if hold else {})}
    return replace(
        line,
        set_labels={other_labels.renamed(k, prefix): v for k, v in changed.items()},
        remove_labels=tuple(other_labels.renamed(k, prefix) for k in line.remove_labels),
    )


def _previews(seen: Seen, of_verdict: Callable[[Obj, Verdict], Preview]) -> list[Preview]:
    """One line per snapshot, in order; what has no time is left out of the judgement."""
    lines: dict[str, Preview] = {}
    readable = []
    for snapshot in map(_with_uid, seen.snapshots):
        if (problem := _problem(snapshot)) is None:
            readable.append(snapshot)
        else:
            claim = objects.labels(snapshot).get(labels.PVC, "")
            lines[objects.uid(snapshot)] = _untouched(snapshot, problem, claim)
    found, _ = judged(replace(seen, snapshots=readable))
    for snapshot, verdict in found:
        lines[objects.uid(snapshot)] = of_verdict(snapshot, verdict)
    return [lines[objects.uid(_with_uid(snapshot))] for snapshot in seen.snapshots]


def _with_uid(snapshot: Obj) -> Obj:
    """Files that people write have no uids, by which points are distinguished."""
    if objects.uid(snapshot):
        return snapshot
    uid = f"{objects.namespace(snapshot)}/{objects.name(snapshot)}"
    return {**snapshot, "metadata": {**objects.meta(snapshot), "uid": uid}}


def _problem(snapshot: Obj) -> str | None:
    """Why a snapshot cannot be judged."""
    for path in (("metadata", "creationTimestamp"), ("status", "creationTime")):
        value = dig(snapshot, *path)
        if value is None:
            continue
        try:
            parse_time(str(value))
        except DataError as error:
            return f"{'.'.join(path)}: {error.message}: kept, not judged"
        return None
    return "neither metadata.creationTimestamp nor status.creationTime: kept, not judged"


def _of_verdict(snapshot: Obj, verdict: Verdict) -> Preview:
    """The line of a snapshot of ours: annotations are listed too."""
    line = _of_labels(snapshot, verdict)
    reasons = list(line.reasons)
    if labels.RESULT in line.set_labels:
        reasons.insert(0, "pending, but its run is gone: becomes failed")
    notes = [f"annotation {k}={v} is set" for k, v in verdict.set_annotations.items()]
    notes += [f"annotation {k} is removed" for k in verdict.remove_annotations]
    if verdict.point.in_use != objects.annotations(snapshot).get(labels.IN_USE):
        notes.append(f"annotation {labels.IN_USE} loses requests that are over")
    return replace(line, reasons=tuple(reasons), notes=tuple(notes))


def _of_labels(snapshot: Obj, verdict: Verdict) -> Preview:
    before, after = objects.labels(snapshot), verdict.after.labels
    return Preview(
        namespace=verdict.point.namespace,
        name=verdict.point.name,
        claim=verdict.point.claim,
        taken=verdict.point.taken,
        tiers=tiers_of(verdict.after),
        set_labels={k: v for k, v in after.items() if before.get(k) != v},
        remove_labels=tuple(k for k in before if k not in after),
        delete=verdict.sweep,
        reasons=verdict.reasons,
    )


def _untouched(snapshot: Obj, reason: str, claim: str) -> Preview:
    return Preview(
        objects.namespace(snapshot), objects.name(snapshot), claim=claim, reasons=(reason,)
    )
