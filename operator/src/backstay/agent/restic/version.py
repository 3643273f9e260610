"""Which restic there is: an older one than the floor says less than is needed."""

from __future__ import annotations

import json
import re
from typing import Final

from backstay.domain.errors import DataError
from backstay.domain.stores.repository.failures import RepositoryError
from backstay.domain.stores.repository.reasons import Reason

FLOOR: Final = (0, 18, 0)
_WORDS: Final = re.compile(r"restic (\d+)\.(\d+)\.(\d+)", re.ASCII)


def version_of(output: bytes) -> tuple[int, int, int]:
    """Given what `restic version --json` says, return the version. Raise DataError if it is none:
    old ones answer in words.
    """
    text = output.decode(errors="replace").strip()
    try:
        found = json.loads(text)
        text = f"restic {found['version']}"
    except (ValueError, KeyError, TypeError):
        pass  # in words, then
    match = _WORDS.match(text)
    if match is None:
        raise DataError(f"restic says no version: {text[:200]!r}")
    major, minor, patch = (int(number) for number in match.groups())
    return major, minor, patch


def check_version(version: tuple[int, int, int]) -> None:
    """Given a version, raise RepositoryError ResticTooOld if it is below the floor."""
    if version < FLOOR:
        raise RepositoryError(
            Reason.RESTIC_TOO_OLD,
            f"restic {shown(version)} is older than {shown(FLOOR)}: use a newer image",
        )


def shown(version: tuple[int, int, int]) -> str:
    """Given a version, return it as people write it."""
    return ".".join(map(str, version))
