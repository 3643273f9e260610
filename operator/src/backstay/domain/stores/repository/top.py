"""The owner and the mode of what was backed up: a tree begins below it, so restic has neither."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from backstay.domain.errors import DataError

TOP: Final = "top"
"""The field of a record that has it, which the agent adds."""
_MOST: Final = 2**32 - 2


@dataclass(frozen=True, slots=True)
class Top:
    """The owner and the mode of a directory."""

    uid: int
    gid: int
    mode: int
    """Permissions, with the bits for setting ids."""

    @classmethod
    def of(cls, look: os.stat_result) -> Top:
        """Given a directory as the system describes it, return what is recorded of that."""
        return cls(look.st_uid, look.st_gid, stat.S_IMODE(look.st_mode))

    def to_json(self) -> dict[str, int]:
        """Return it as a record has it."""
        return {"uid": self.uid, "gid": self.gid, "mode": self.mode}


def recorded_top(record: Mapping[str, Any]) -> Top | None:
    """Given a record, return the top that it has, None if it has none. Raise DataError if it cannot
    be understood.
    """
    found = record.get(TOP)
    if found is None:
        return None
    if not isinstance(found, Mapping):
        raise DataError(f"record.{TOP}: expected an object")
    uid, gid, mode = (_number(found, key) for key in ("uid", "gid", "mode"))
    return Top(uid, gid, stat.S_IMODE(mode))


def _number(raw: Mapping[str, Any], key: str) -> int:
    found = raw.get(key)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= _MOST:
        raise DataError(f"record.{TOP}.{key}: expected a number of 32 bits")
    return found
