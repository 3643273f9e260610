"""What a person said "go on" to: words of RestoreRequest.spec.acknowledge that the agent knows.

Invariant: a restore passes over a refusal only by one of these words, each use is in the result,
and the refusal names the word.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from backstay.domain.errors import BackstayError, UserError


class Word(StrEnum):
    """What a restore of a directory may be told to pass over."""

    NO_SAFETY_COPY = "NoSafetyCopy"
    TOO_LITTLE_ROOM = "TooLittleRoom"
    MOUNTS_INSIDE = "MountsInside"
    UNVERIFIED = "Unverified"


_MEANS: Final = {
    Word.NO_SAFETY_COPY: "to restore without a copy of what is there now, which is lost then",
    Word.TOO_LITTLE_ROOM: "to restore all the same, until the disk is full if need be",
    Word.MOUNTS_INSIDE: "to restore into what is mounted there as well",
    Word.UNVERIFIED: "to restore what the copy has, as it is",
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
        message = f"{refusal.message}; or add {word} to spec.acknowledge {_MEANS[word]}"
        if isinstance(refusal, UserError):
            raise UserError(refusal.reason, message) from refusal
        raise type(refusal)(message) from refusal

    @property
    def told(self) -> str:
        """What was passed over, as the end of a sentence; "" where nothing was."""
        return "".join(f"; {word} was acknowledged: {why}" for word, why in self.used.items())
