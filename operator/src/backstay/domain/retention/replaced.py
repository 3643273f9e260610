"""The incarnations of a series, and what is reported when its source was replaced.

The points of the source of now are judged by the policy's rules. Those of a source that was there
before it are frozen: neither marked nor swept by a rule, whatever the new ones fill; only a date
that a person or their birth set is followed, and the newest good one of each incarnation stays.
A person who knows that the source is the same (moved by hand, a server of the next version) says
so on the policy, and they are one series again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from backstay.domain import labels, objects
from backstay.domain.objects import Obj
from backstay.domain.retention.brakes import Brake, first
from backstay.domain.retention.incarnations import incarnations
from backstay.domain.retention.points import Point

CONDITION: Final = "ClaimReplaced"
NOT_REPLACED: Final = Brake("SameClaims", "every claim is the one that its points are of")
_NEVER: Final = (datetime.min.replace(tzinfo=UTC), "")
_COMMAND_IDS: Final = 50
"""Claims that one command accepts: an annotation and a message have limits."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """A claim whose older points are of another source."""

    claim: str
    id: str
    """What a person names to say that it is the same: the uid of the claim of now."""
    frozen: int
    """Points of the sources before it that are there."""


def split(points: Sequence[Point], accepted: Collection[str]) -> list[list[Point]]:
    """Given all points of one claim and the ids that a person accepts, return them by
    incarnation, the one of the newest point last; at least one list.
    """
    numbers = incarnations([(p.order, p.origin) for p in points], accepted)
    found: list[list[Point]] = [[] for _ in range(max(numbers, default=0) + 1)]
    for number, point in zip(numbers, points, strict=True):
        found[number].append(point)
    # A restore may go on with one that another came after.
    return sorted(found, key=lambda part: max((p.order for p in part), default=_NEVER))


def replaced(parts: Sequence[Sequence[Point]]) -> Replaced | None:
    """Given the incarnations of one claim, return what is to be reported, None if there is one."""
    frozen = [p for part in parts[:-1] for p in part if not p.deleting]
    if not frozen:
        return None
    newest = max(parts[-1], key=lambda p: p.order)
    before = {i for p in frozen for i in p.origin.ids}
    new = [i for i in newest.origin.ids if i not in before]
    # Another server on the same claim is named by its own identity.
    known = {s for p in frozen for s in p.origin.servers.values()}
    new += [s for s in newest.origin.servers.values() if s not in known]
    return Replaced(newest.claim, new[0] if new else "", len(frozen))


def accepted_ids(policy: Obj | None, claim: str) -> frozenset[str]:
    """Given a policy and a claim, return the ids that a person accepts as going on with it."""
    text = objects.annotations(policy or {}).get(labels.ACCEPT_CLAIM)
    return accepted(text).get(claim, frozenset())


def accepted(annotation: str | None) -> dict[str, frozenset[str]]:
    """Given the text of the annotation that accepts (CLAIM@ID, separated by commas), return the
    ids by claim. What cannot be read accepts nothing.
    """
    found: dict[str, frozenset[str]] = {}
    for entry in (annotation or "").split(","):
        claim, _, value = entry.strip().partition("@")
        if claim and value:
            found[claim] = found.get(claim, frozenset()) | {value}
    return found


def report(found: Sequence[Replaced], policy: Obj, *, carriers: str = "snapshots") -> Brake | None:
    """Given the claims of a policy that were replaced, and what carries the labels of their points,
    return what is to be reported, None if none was.
    """
    if not found:
        return None
    named = [f"claim {r.claim} is another one than that of {r.frozen} older points" for r in found]
    # What was accepted of other claims before must not be lost with the new annotation.
    before = accepted(objects.annotations(policy).get(labels.ACCEPT_CLAIM))
    entries = [f"{c}@{i}" for c, ids in before.items() for i in sorted(ids)]
    entries += [f"{r.claim}@{r.id}" for r in found if r.id]
    value = ",".join(entries[-_COMMAND_IDS:])
    return Brake(
        "Replaced",
        f"{first(named, 'claims')}; the older points are neither marked nor swept by any rule. If "
        f"the data is the same, run: kubectl annotate backuppolicy {objects.name(policy)} "
        f"{labels.ACCEPT_CLAIM}={value} --overwrite -n {objects.namespace(policy)}. If they are "
        f"not needed, label their {carriers} {labels.DELETE_AFTER}=YYYY-MM-DD",
    )
