"""Which copies are of the source as it is now, and which of one that was there before it.

Another disk mounted at the same directory, or a claim recreated under its name, begins an
incarnation of its own: its copies must not push out those of the one before, which may be the only
ones with the data that people want back. Each point says what its source was, in ids of which
two points of the same source share one. Invariants: the incarnation of the point that was made last
is the current one, however often disks were exchanged in between; a point that says nothing is of
the same as the one before it; only a person joins two.

Those of snapshots (`retention.incarnations`) are not the same: there a source that a person accepts
goes on with the one before it, here with all that were before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from backstay.domain import labels
from backstay.domain.retention.brakes import Brake
from backstay.domain.stores.copies.points import Series

CLAIM_REPLACED: Final = "ClaimReplaced"
SOURCE_REPLACED: Final = "SourceReplaced"
SAME_CLAIMS: Final = Brake("SameClaims", "every claim is the one that its points are of")
SAME_SOURCES: Final = Brake("SameSources", "every directory is the one that its copies are of")
ANY: Final = "any"
"""Accepts every directory that was replaced, now and later."""
_CLAIM: Final = "claim:"
_HASH_CHARS: Final = 10
_SHOWN: Final = 2
_COMMAND_CHARS: Final = 3000

Words: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Replaced:
    """A series whose source is another one now, and what says that it is the same."""

    series: Series
    source: str
    """What names the directory for people."""
    copies: int
    """Those of sources before."""
    word: str


def ids_of_claim(uid: str, volume: str = "", continues: str = "") -> Words:
    """Given a claim's uid, its volume and the uid of the claim whose data a restore of ours brought
    into it ("" is none), return what copies of it say: it has the data of the same volume, and of
    that claim.
    """
    more = (f"volume:{volume}" if volume else "", f"{_CLAIM}{continues}" if continues else "")
    return (f"{_CLAIM}{uid}", *filter(None, more))


def current(points: Sequence[tuple[Any, Words]], continues: Collection[Words] = ()) -> list[bool]:
    """Given the points of a series, each with its place in the order of making and what it says of
    its source, and the sources that a person accepted as going on what was there before, return
    for each whether it is of the current incarnation.
    """
    places = sorted(range(len(points)), key=lambda at: points[at][0])
    known = _filled([set(points[at][1]) for at in places])
    accepted = [set(words) for words in continues]
    inside = [False] * len(places)
    words = set(known[-1]) if known else set[str]()
    grown = True
    while grown:
        grown = False
        for at in range(len(places)):
            if not inside[at] and (not known[at] or words & known[at]):
                inside[at] = grown = True
                words |= known[at]
                for wanted in (a for a in accepted if a & known[at]):
                    words |= set().union(*known[: _first(known, wanted)])
    found = [False] * len(places)
    for at, place in enumerate(places):
        found[place] = inside[at]
    return found


def _first(known: list[set[str]], wanted: set[str]) -> int:
    """Where a source was first seen: what came between that and its return it does not go on."""
    return next(at for at, words in enumerate(known) if words & wanted)


def _filled(known: list[set[str]]) -> list[set[str]]:
    """The words, where there are none those of the point before, at the beginning of the next."""
    last = next((words for words in known if words), set[str]())
    found = []
    for words in known:
        last = words or last
        found.append(last)
    return found


def accepting(series: Series, source: Words) -> str:
    """Given a series and what its newest point says of its source, return the word by which a
    person says that it goes on the one before.
    """
    uid = next((w.removeprefix(_CLAIM) for w in source if w.startswith(_CLAIM)), None)
    if uid is not None:
        return f"{series.holder}@{uid}"
    text = "\n".join((series.key, *sorted(source)))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_HASH_CHARS]


def is_accepted(series: Series, source: Words, accepted: Collection[str]) -> bool:
    """Given a series, what a point says of its source, and the words that a person wrote, return
    whether that source goes on the one before.
    """
    if not source:
        return False
    return accepting(series, source) in accepted


def accepts_any(series: Series, accepted: Collection[str]) -> bool:
    """Given a series and the words that a person wrote, return whether all its sources are one."""
    return series.kind != "claim" and ANY in accepted


def accepted_words(*annotations: str | None) -> frozenset[str]:
    """Given the texts of the annotations that accept, return the words in them."""
    words = (word.strip() for text in annotations for word in (text or "").split(","))
    return frozenset(filter(None, words))


def brake_of(
    found: Sequence[Replaced],
    accepted: Collection[str],
    namespace: str,
    policy: str,
    *,
    claims: bool,
) -> Brake | None:
    """Given the series of a policy whose source is another one, the words that are accepted
    already, and whether to report the claims or the directories, return the brake, None if none is.
    """
    found = [r for r in found if (r.series.kind == "claim") == claims]
    if not found:
        return None
    key = labels.ACCEPT_CLAIM if claims else labels.ACCEPT_SOURCE
    what = "claim" if claims else "directory"
    how = "recreated" if claims else "recreated, or on another file system"
    names = [f"{what} {r.source} ({r.copies} copies of the one before)" for r in found[:_SHOWN]]
    if len(found) > _SHOWN:
        names.append(f"and {len(found) - _SHOWN} more")
    # What was accepted before must not be lost with the new annotation.
    words: list[str] = []
    for word in (*(r.word for r in found), *sorted(w for w in accepted if ("@" in w) == claims)):
        if word not in words and sum(map(len, words)) + len(word) < _COMMAND_CHARS:
            words.append(word)
    return Brake(
        "Replaced",
        f"{'; '.join(names)}: it is another one than before, {how}. The copies of the one before "
        "are kept and counted in nothing: they go only on dates set by hand. If it has the same "
        f"data, and its copies may take the place of those, run: kubectl annotate backuppolicy "
        f"{policy} {key}={','.join(words)} --overwrite -n {namespace}",
    )
