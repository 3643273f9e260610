"""What a person says "go on" to in a restore: the values of spec.acknowledge, and their use.

Invariants: a refusal is passed over by its own word alone; each use is reported; a refusal that has
a word names it. (`api.restore.Acknowledgement` describes the words to people; the agent, which
knows no API, reads them here.)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from backstay.domain.errors import BackstayError, UserError


class Word(StrEnum):
    """What a restore may pass over when asked to."""

    NO_SAFETY_COPY = "NoSafetyCopy"
    TOO_LITTLE_ROOM = "TooLittleRoom"
    MOUNTS_INSIDE = "MountsInside"
    UNVERIFIED = "Unverified"
    CLAIM_IN_USE = "ClaimInUse"
    NOT_HELD = "NotHeld"
    COPY_MISSING = "CopyMissing"
    COPIES_MOVED = "CopiesMoved"
    NO_MARKER = "NoMarker"
    RECORD_UNREADABLE = "RecordUnreadable"
    UNKNOWN_SOURCE = "UnknownSource"
    OTHER_DRIVER = "OtherDriver"


AGENT: Final = frozenset(
    {
        Word.NO_SAFETY_COPY,
        Word.TOO_LITTLE_ROOM,
        Word.MOUNTS_INSIDE,
        Word.UNVERIFIED,
        Word.NO_MARKER,
    }
)
"""Those that the agent reads."""
MEANS: Final[Mapping[Word, str]] = {
    Word.NO_SAFETY_COPY: "to restore without a copy of what is there now, which is lost then",
    Word.TOO_LITTLE_ROOM: "to restore all the same, until the disk is full if need be",
    Word.MOUNTS_INSIDE: "to restore into what is mounted there as well",
    Word.UNVERIFIED: "to restore what there is, as it is",
    Word.CLAIM_IN_USE: "to restore under the Pods that use it",
    Word.NOT_HELD: "to restore without that hold",
    Word.COPY_MISSING: "to look for it all the same",
    Word.COPIES_MOVED: "if the disk with the copies is on that node now",
    Word.NO_MARKER: "to read the copies that are there",
    Word.RECORD_UNREADABLE: "to restore without the record: its dumps are not verified",
    Word.UNKNOWN_SOURCE: "to take it for a snapshot of that claim",
    Word.OTHER_DRIVER: "to have the class's provisioner try",
}


@dataclass(slots=True)
class Acknowledged:
    """The words that were given, and what they were used for."""

    words: Collection[str] = ()
    used: dict[str, str] = field(default_factory=dict)
    """By word, the refusal that it passed over."""

    def pass_over(self, word: Word, refusal: BackstayError) -> None:
        """Given a refusal and the word for it, note that it is passed over. Where nobody said that
        word, raise the refusal, naming it.
        """
        if word in self.words:
            self.used.setdefault(word, refusal.message)
            return
        message = with_word(refusal.message, word)
        if isinstance(refusal, UserError):
            raise UserError(refusal.reason, message) from refusal
        raise type(refusal)(message) from refusal

    @property
    def in_words(self) -> str:
        """What was passed over, as the end of a sentence; "" where nothing was."""
        return "".join(f"; {word} was acknowledged: {why}" for word, why in self.used.items())


def with_word(message: str, word: Word) -> str:
    """Given a refusal and the word that passes it over, return it with that word."""
    return f"{message}; or add {word} to spec.acknowledge {MEANS[word]}"
