"""What a rolling copy is known to lack: entries of the source that could not be read.

Only a policy with `allowUnreadable` has copies of this kind. They are good, as they hold everything
else, and fill the tiers; the newest copy in which nothing is missing is kept beside the newest one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from backstay.domain.errors import DataError

EXAMPLES: Final = 5
_PATH_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Unread:
    """What is missing of a source."""

    count: int
    """Entries that could not be read; a directory is one."""
    examples: tuple[str, ...] = ()
    entries: int = 0
    """What earlier copies had below such directories. Nothing says that it is gone."""
    size: int = 0
    """In bytes, of these."""

    @classmethod
    def from_json(cls, raw: object) -> Unread | None:
        """Given what a point's file says (None: nothing), return it. Raise DataError naming the
        field.
        """
        if raw is None:
            return None
        if not isinstance(raw, dict):
            raise DataError("point.unreadable: expected an object")
        numbers = [_number(raw, key) for key in ("count", "entries", "bytes")]
        names = raw.get("examples", [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise DataError("point.unreadable.examples: expected a list of texts")
        shown = tuple(name[:_PATH_MAX] for name in names[:EXAMPLES])
        return cls(numbers[0], shown, numbers[1], numbers[2])

    def to_json(self) -> dict[str, Any]:
        """Return it as a point's file has it."""
        return {
            "count": self.count,
            "examples": list(self.examples),
            "entries": self.entries,
            "bytes": self.size,
        }

    @property
    def in_words(self) -> str:
        """Return it in words."""
        more = ", ..." if self.count > len(self.examples) else ""
        return f"{self.count} entries could not be read and are missing: " + (
            ", ".join(self.examples) + more
        )


def _number(raw: Mapping[str, Any], key: str) -> int:
    value = raw.get(key, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise DataError(f"point.unreadable.{key}: expected a number from 0, of 63 bits")
    return value
