"""The plan of a RestoreRequest: what was seen in, the next status and actions out.

    Pending -> Restoring -> Verifying -> Completed
       |           +------------+------> Failed
       +-> Refused

Invariants: nothing is created before every claim of the request was found restorable and its
snapshot was claimed (in-use), so that no sweep can take it; a claim that this request did not
make is never touched. A claim belongs to the request, and carries its label, until it is verified
or the request ends; then it is handed over to the user and never deleted by us. What fails is
written down one round before anything is cleaned up, so that a process that dies meanwhile is
followed by one that ends it alike. A failed request leaves no pod, no claim that never bound and no
hold; a claim that is bound is left for a person to look at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from backstay.api.common import changed, with_condition
from backstay.api.restore import PassedOver, RestoredClaim, RestorePhase, RestoreStatus
from backstay.domain.errors import UserError
from backstay.domain.restore.acknowledgement import Word, with_word

POLL: Final = timedelta(seconds=2)
AT_ONCE: Final = timedelta(0)
UNVERIFIED_AFTER: Final = timedelta(minutes=5)
"""How long a verification may take where a person said that it may go without."""


class Step(StrEnum):
    """What to do for one claim of the request. Each is idempotent."""

    HOLD = "hold"
    """Write in-use onto the snapshot."""
    CREATE_CLAIM = "create-claim"
    CREATE_POD = "create-pod"
    DELETE_POD = "delete-pod"
    HAND_OVER = "hand-over"
    """Take our label off the claim."""
    DELETE_CLAIM = "delete-claim"
    """Delete the claim, which is ours and has no volume."""
    RELEASE = "release"
    """Take in-use off the snapshot."""


@dataclass(frozen=True, slots=True)
class Action:
    """One step for one claim, named as it was backed up."""

    step: Step
    claim: str


@dataclass(frozen=True, slots=True)
class ClaimSeen:
    """One claim of a request that is under way."""

    snapshot_there: bool
    claim_uid: str | None
    """uid of the claim of the new name, None if there is none."""
    claim_ours: bool
    bound: bool
    pod_there: bool
    pod_done: bool = False
    pod_failed: bool = False
    pod_says: str = ""
    """Its outcome, or what it waits for."""
    claim_says: str = ""
    """What keeps the claim from being bound."""
    binds_late: bool = False
    """It is bound by the first Pod that uses it, whose ever that is."""


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a decision on one RestoreRequest rests on."""

    now: datetime
    generation: int
    status: RestoreStatus
    refusal: UserError | None = None
    backup: str | None = None
    sources: Sequence[RestoredClaim] = ()
    """When Pending: the claims to make, all found restorable."""
    claims: Mapping[str, ClaimSeen] = field(default_factory=dict)
    may_stay_unverified: bool = False
    """A person said so."""
    passed: Mapping[str, str] = field(default_factory=dict)
    """By value of spec.acknowledge, what it passed over at this look."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The next status, what to do before it is written, and when to look again (None: never)."""

    status: RestoreStatus
    actions: tuple[Action, ...] = ()
    after: timedelta | None = None


def decide(seen: Seen) -> Decision:
    """Given what was seen of a RestoreRequest, return what to do next. Never raises."""
    if seen.status.phase.final:
        return Decision(seen.status)
    if seen.status.phase is RestorePhase.PENDING:
        return _begin(seen)
    return _follow(seen)


def _begin(seen: Seen) -> Decision:
    if seen.refusal is not None:
        status = changed(seen.status, phase=RestorePhase.REFUSED, completed_at=seen.now)
        return Decision(_said(seen, status, seen.refusal.reason, seen.refusal.message))
    status = changed(
        with_passed(seen.status, seen.passed),
        phase=RestorePhase.RESTORING,
        backup=seen.backup,
        started_at=seen.now,
        claims=tuple(seen.sources),
        into=_into(seen.sources),
    )
    holds = tuple(Action(Step.HOLD, c.claim) for c in seen.sources)
    return Decision(_said(seen, status, "Restoring", "claims are being made"), holds, AT_ONCE)


def _into(sources: Sequence[RestoredClaim]) -> str:
    first, *others = [s.new_claim for s in sources]
    return f"{first} +{len(others)}" if others else first


def _follow(seen: Seen) -> Decision:
    status, actions, waits = seen.status, list[Action](), list[str]()
    if any(c.failed for c in status.claims):
        return _fail(seen)
    for entry in status.claims:
        look = seen.claims[entry.claim]
        unverified = _unverified(seen, entry, look)
        if not unverified and (why := _broken(entry, look)):
            return _note_failure(seen, entry, why)
        if look.claim_uid is None:
            actions.append(Action(Step.CREATE_CLAIM, entry.claim))
            continue
        new = changed(entry, new_claim_uid=look.claim_uid)
        if entry.verified is None:
            if unverified:
                status = with_passed(
                    status, {Word.UNVERIFIED.value: f"claim {entry.new_claim}: {unverified}"}
                )
            if look.pod_done or unverified:
                actions.append(Action(Step.HAND_OVER, entry.claim))
                found = unverified or look.pod_says or "mounted"
                new = changed(new, verified=found[:1024])
            elif not look.pod_there:
                actions.append(Action(Step.CREATE_POD, entry.claim))
            elif reported := "; ".join(filter(None, (look.pod_says, look.claim_says))):
                waits.append(f"claim {entry.new_claim}: {reported}")
        claims = tuple(new if c.claim == entry.claim else c for c in status.claims)
        status = changed(status, claims=claims)
    if status == seen.status and all(c.verified for c in status.claims):
        found = "; ".join(f"{c.new_claim}: {c.verified}" for c in status.claims)
        return _end(seen, status, RestorePhase.COMPLETED, found)
    making = any(a.step in (Step.CREATE_CLAIM, Step.CREATE_POD) for a in actions)
    bound = not making and all(look.bound for look in seen.claims.values())
    phase = RestorePhase.VERIFYING if bound else RestorePhase.RESTORING
    message = "; ".join(waits) or (
        "claims are being verified" if bound else "claims are being made"
    )
    after = AT_ONCE if all(c.verified for c in status.claims) else POLL
    return Decision(
        _said(seen, changed(status, phase=phase), phase.value, message), tuple(actions), after
    )


def _unverified(seen: Seen, entry: RestoredClaim, look: ClaimSeen) -> str:
    """Why a claim is handed over without having been verified, "" if that is not to be."""
    ours = look.claim_uid is not None and look.claim_ours
    same = entry.new_claim_uid in (None, look.claim_uid)
    if not seen.may_stay_unverified or entry.verified is not None or not (ours and same):
        return ""
    to_be_had = look.bound or (look.binds_late and look.snapshot_there and not look.claim_says)
    if look.pod_done or not to_be_had:
        return ""
    if look.pod_failed:
        return f"not verified: {look.pod_says}"
    began = seen.status.started_at
    if began is None or seen.now - began < UNVERIFIED_AFTER:
        return ""
    waits = "; ".join(filter(None, (look.pod_says, look.claim_says)))
    return f"not verified within {UNVERIFIED_AFTER}: {waits or 'its Pod has not ended'}"


def _broken(entry: RestoredClaim, look: ClaimSeen) -> str:
    """Why this claim can never be restored any more, "" if it can."""
    if look.claim_uid is not None and not look.claim_ours:
        return "a claim of that name was made by somebody else"
    if entry.new_claim_uid is not None and look.claim_uid != entry.new_claim_uid:
        return "it was deleted while it was being restored"
    if not look.snapshot_there and not look.bound:
        return f"VolumeSnapshot {entry.snapshot} was deleted before the claim was bound"
    if look.pod_failed and entry.verified is None:
        return with_word(f"verification failed: {look.pod_says}", Word.UNVERIFIED)
    return ""


def _note_failure(seen: Seen, entry: RestoredClaim, why: str) -> Decision:
    """Write down why the request fails: the pod that says so goes next."""
    claims = tuple(
        changed(c, failed=why[:1024]) if c.claim == entry.claim else c for c in seen.status.claims
    )
    status = changed(seen.status, claims=claims)
    reported = f"claim {entry.new_claim}: {why}"
    return Decision(_said(seen, status, status.phase.value, reported), after=AT_ONCE)


def _fail(seen: Seen) -> Decision:
    status = seen.status
    why = "; ".join(f"claim {c.new_claim}: {c.failed}" for c in status.claims if c.failed)
    left = [c.new_claim for c in status.claims if _fate(c, seen.claims[c.claim]) is Step.HAND_OVER]
    if left:
        why += f"; left to be looked at, then to be deleted: claim {', '.join(left)}"
    return _end(seen, status, RestorePhase.FAILED, why)


def _fate(entry: RestoredClaim, look: ClaimSeen) -> Step | None:
    """What happens to a claim when its request fails."""
    if entry.verified is not None or look.claim_uid is None or not look.claim_ours:
        return None
    return Step.HAND_OVER if look.bound else Step.DELETE_CLAIM


def _end(seen: Seen, status: RestoreStatus, phase: RestorePhase, message: str) -> Decision:
    actions = tuple(
        Action(step, entry.claim)
        for entry in status.claims
        for step in (Step.DELETE_POD, _fate(entry, seen.claims[entry.claim]), Step.RELEASE)
        if step is not None
    )
    ended = changed(status, phase=phase, completed_at=seen.now)
    return Decision(_said(seen, ended, phase.value, message), actions)


def _said(seen: Seen, status: RestoreStatus, reason: str, message: str) -> RestoreStatus:
    return said(status, reason, message, generation=seen.generation, now=seen.now)


def said(
    status: RestoreStatus, reason: str, message: str, *, generation: int, now: datetime
) -> RestoreStatus:
    """Return the status with message and Ready set."""
    conditions = with_condition(
        status.conditions,
        type="Ready",
        ok=status.phase is RestorePhase.COMPLETED,
        reason=reason,
        message=message,
        generation=generation,
        now=now,
    )
    return changed(
        status,
        message=message[:4096],
        conditions=conditions,
        observed_generation=generation,
    )


def with_passed(status: RestoreStatus, used: Mapping[str, str]) -> RestoreStatus:
    """Given a status and what was passed over by which word, return it with that: what a word was
    used for first stands.
    """
    known = {one.word for one in status.acknowledged}
    new = [
        PassedOver(word=word, message=why[:1024]) for word, why in used.items() if word not in known
    ]
    return changed(status, acknowledged=(*status.acknowledged, *new)) if new else status
