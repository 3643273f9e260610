"""The brake on shrunken backups: a dump under half of the last good one's size freezes its series.

A database that lost its tables dumps well, and its small backups would push out the large ones
that people need now. So while the newest good point is shrunken, nothing of its series is marked
or swept. Invariants: it is derived from the points and from what a person accepted, and nothing
is remembered; a size under half of the last one never becomes the one to compare with, so a
series stays frozen however many small points follow; a dump that has grown back ends it.
A dump is compared with the last one of its form (its format, and whether it is compressed), so that
another form trips nothing. Where there is none yet, an uncompressed one is compared with the last
compressed one of its format, as the same data is never smaller uncompressed. While a dump is
shrunken, one of another form ends that only if there was one of its own that it is not under half
of: a size that can be compared with nothing proves nothing.

A person accepts the sizes of a claim as of a time: older points are compared with nothing any
more. The time is that of the shrunken point, so it does not matter which points are swept later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from backstay.api.common import format_time
from backstay.domain import labels
from backstay.domain.errors import DataError
from backstay.domain.labels import Result
from backstay.domain.retention.brakes import Brake, first
from backstay.domain.retention.forms import packed
from backstay.domain.retention.points import Point
from backstay.domain.retention.reasons import Reason
from backstay.domain.run.status import format_size
from backstay.domain.times import parse_time

CONDITION: Final = "Shrunk"
NOT_SHRUNK: Final = Brake("SizesAsBefore", "no dump is under half of the size of the one before")
_COMMAND_CHARS: Final = 3000
"""What a message has room for; the others of a policy with very many claims come later."""


@dataclass(frozen=True, slots=True)
class Shrunk:
    """A series that is frozen, and the dump that says why."""

    claim: str
    what: str
    size: int
    """Bytes."""
    before: int
    """Bytes of the last one that had not shrunk."""
    taken: datetime
    """When the newest good point was taken: what accepts it."""
    form: str = ""
    """How the first dump was written that had shrunk."""

    @property
    def why(self) -> str:
        """Say in words what shrank, without a claim."""
        sizes = f"{format_size(self.size)}, under half of the {format_size(self.before)} before"
        return f"dump {self.what} has {sizes}"

    @property
    def freezes(self) -> str:
        """Say why nothing of the series is marked or swept."""
        return Reason.SHRUNK.format(why=self.why)


def shrunk(points: Sequence[Point], accepted: Mapping[str, datetime]) -> Shrunk | None:
    """Given the points of one series and since when a person accepts the sizes of which claim,
    return what has shrunk in its newest good point, None if nothing has.
    """
    found: Shrunk | None = None
    small: dict[str, Shrunk] = {}
    last: dict[tuple[str, str], int] = {}
    for point in sorted((p for p in points if _speaks(p, accepted)), key=lambda p: p.order):
        for what, size in point.sizes.items():
            form = point.forms.get(what, "")
            known = last.get((what, form))
            before = last.get((what, packed(form))) if known is None else known
            if before is not None and 2 * size < before:
                first_form = small[what].form if what in small else form
                small[what] = Shrunk(point.claim, what, size, before, point.taken, first_form)
            elif known is None and what in small and small[what].form != form:
                # It must not become the one to compare with either: it may be of what is shrunken.
                small[what] = replace(small[what], taken=point.taken)
            else:
                last[what, form] = size
                small.pop(what, None)
        found = next((small[what] for what in point.sizes if what in small), None)
    return found


def _speaks(point: Point, accepted: Mapping[str, datetime]) -> bool:
    """Whether its sizes count: those of a point that is good, and not older than accepted."""
    if point.result is not Result.GOOD or point.deleting or not point.sizes:
        return False
    since = accepted.get(point.claim)
    return since is None or point.taken >= since


def accepted_sizes(annotation: str | None) -> dict[str, datetime]:
    """Given the text of the annotation that accepts (CLAIM@TIME, separated by commas), return
    the times by claim. What cannot be read accepts nothing.
    """
    found: dict[str, datetime] = {}
    for text in (annotation or "").split(","):
        claim, _, time = text.strip().partition("@")
        try:
            found[claim] = parse_time(time)
        except DataError:
            continue
    return found


def report(
    found: Sequence[Shrunk], accepted: Mapping[str, datetime], namespace: str, policy: str
) -> Brake | None:
    """Given the series of a policy that are frozen and what is accepted already, return the
    brake, None if none is frozen.
    """
    if not found:
        return None
    named = [f"claim {s.claim}: {s.why}" for s in found]
    # What was accepted of other claims before must not be lost with the new annotation.
    accepts = {s.claim: s.taken for s in found} | {
        claim: time for claim, time in accepted.items() if all(s.claim != claim for s in found)
    }
    texts: list[str] = []
    for claim, time in accepts.items():
        text = f"{claim}@{format_time(time)}"
        if sum(map(len, texts)) + len(text) < _COMMAND_CHARS:
            texts.append(text)
    return Brake(
        "DumpShrunk",
        f"{first(named, 'claims')}; nothing of that is marked or swept. If the new size is right, "
        f"run: kubectl annotate backuppolicy {policy} {labels.ACCEPT_SIZE}={','.join(texts)} "
        f"--overwrite -n {namespace}",
    )
