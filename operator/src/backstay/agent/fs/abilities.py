"""What a file system keeps of what is written to it, and what copies need of that."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from backstay.agent.fs import attributes
from backstay.agent.fs.inode import FIRST_TIME, LAST_SECOND, LAST_TIME, SECOND
from backstay.domain.errors import UserError

FIELD: Final = "spec.rolling.destination"
_WORDS: Final = {
    "hard_links": "hard links",
    "symlinks": "symlinks",
    "cases": "names that differ by case or by the form of an accent",
    "raw_names": "names that are no UTF-8",
    "odd_names": "names that Windows forbids",
    "pipes": "pipes and sockets",
    "devices": "devices",
    "holes": "holes in files",
    "reflinks": "shared blocks",
    "owners": "owners",
    "modes": "modes",
    "link_times": "times of symlinks",
}


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a file system keeps. As made: everything."""

    hard_links: bool = True
    symlinks: bool = True
    cases: bool = True
    raw_names: bool = True
    odd_names: bool = True
    pipes: bool = True
    devices: bool = True
    holes: bool = True
    reflinks: bool = True
    owners: bool = True
    modes: bool = True
    link_times: bool = True
    grain: int = 1
    """Of times, in nanoseconds."""
    first: int = FIRST_TIME
    last: int = LAST_TIME
    attributes: tuple[str, ...] = attributes.DATA
    """The beginnings of the names of those that it keeps."""
    syncs: bool = True
    """Whether syncfs(2) reaches the disk. In user space it does not leave the kernel."""

    def keeps_time(self, moment: int, *, link: bool = False) -> bool:
        """Whether a time, in nanoseconds since 1970, comes back as it is. At the ends of what a
        manifest holds it may be but the nearest one.
        """
        if moment % self.grain or not self.first <= moment <= self.last:
            return False
        return FIRST_TIME < moment < LAST_TIME and (self.link_times or not link)

    def takes(self, kind: int) -> bool:
        """Given the bits of a mode that say what kind of thing it is, whether one can be made."""
        if stat.S_ISCHR(kind) or stat.S_ISBLK(kind):
            return self.devices
        return self.pipes or not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind))

    def lacking(self) -> list[str]:
        """Return in words what it does not keep."""
        found = [word for name, word in _WORDS.items() if not getattr(self, name)]
        if self.grain > 1:
            found.append(f"times finer than {_duration(self.grain)}")
        if self.first > FIRST_TIME:
            found.append(f"times before {_year(self.first)}")
        if self.last < LAST_SECOND:
            found.append(f"times after {_year(self.last)}")
        missing = [one for one in attributes.DATA if one not in self.attributes]
        words = {attributes.ACL: "ACLs", "security.capability": "capabilities"}
        found += [words.get(one, f"attributes {one.rstrip('.')}") for one in missing]
        return found


EVERYTHING: Final = Abilities()


def _duration(grain: int) -> str:
    for unit, word in ((SECOND, "s"), (10**6, "ms"), (1000, "us")):
        if grain >= unit:
            return f"{grain // unit} {word}"
    return f"{grain} ns"


def _year(moment: int) -> int:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=moment // SECOND)).year


def insist(found: Abilities, field: str = FIELD) -> None:
    """Raise UserError, naming the field, unless copies can be kept on a file system with those
    abilities.
    """
    needed = ("hard_links", "symlinks", "cases")
    missing = [_WORDS[name] for name in needed if not getattr(found, name)]
    if missing:
        raise UserError(
            "DestinationUnfit",
            f"{field}: its file system does not keep {', '.join(missing)}, which copies need; use"
            " one that does, as ext4, XFS, btrfs or NFS",
        )
