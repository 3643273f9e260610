"""Which repository a task is about, and how much of the network it may take."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from backstay.agent.tasks import Fields

_ID: Final = re.compile(r"(?:[0-9a-f]{64})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository, as a task names it."""

    secret: str
    """The directory of the Secret's keys."""
    path_suffix: str
    local: str
    """A directory; "": it is where RESTIC_REPOSITORY says."""
    ca: str
    """The file of a custom CA; "": those that the image trusts."""
    cache: str
    id: str
    """As the operator knows it; "": not known yet."""
    upload_kib: int
    """KiB a second; 0: no limit."""
    download_kib: int
    read_only: bool = False
    """Nothing at all is written to it, not even a lock."""

    @classmethod
    def read(cls, task: Fields) -> Repository:
        """Given a task, return its repository. Raise DataError naming the field that is wrong."""
        found = task.child("repository")
        known = found.text("id", "")
        if not _ID.fullmatch(known):
            raise found.fail("id", "expected a repository's, 64 hexadecimal digits")
        return cls(
            secret=found.text("secret"),
            path_suffix=found.text("pathSuffix", ""),
            local=found.text("local", ""),
            ca=found.text("ca", ""),
            cache=found.text("cache"),
            id=known,
            upload_kib=found.number("uploadKiB", 0),
            download_kib=found.number("downloadKiB", 0),
            read_only=found.flag("readOnly"),
        )
