"""A destination: its marker, and the folders of a series in it.

Invariants: nothing is written to a place without our marker, which is what an unmounted disk looks
like; whoever works on a series holds its lock; only names that are ours are ever touched.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backstay.agent.destination.locks import SERIES_LOCK, holding, is_read_only, moment, read_only
from backstay.agent.fs.failures import named, reason_of
from backstay.agent.fs.paths import DIRECTORY
from backstay.agent.fs.syscalls import fsync
from backstay.agent.tasks import Where
from backstay.domain.errors import UserError
from backstay.domain.stores.copies.points import Series

MARKER: Final = ".backstay.json"
FORMAT: Final = 1
PARTIAL: Final = ".partial-"
TRASH: Final = ".trash-"
FIRST_PART: Final = "0000"
"""The name of a manifest's first part, which every manifest has."""
_SPARE: Final = ".spare-"


@dataclass(frozen=True, slots=True)
class Folder:
    """Where a series lies."""

    path: Path

    @property
    def trees(self) -> Path:
        return self.path / "trees"

    @property
    def points(self) -> Path:
        return self.path / "points"

    def data(self, run: str) -> Path:
        """Given a tree's name, return where its files are."""
        return self.trees / run / "data"

    def manifest(self, run: str) -> Path:
        """Given a tree's name, return where its manifest is."""
        return self.trees / run / "manifest"

    def spare(self, run: str) -> Path:
        """Given the newest tree's name, return where a pruned one may be kept for the next."""
        return self.trees / f"{_SPARE}{run}"

    def spares(self) -> list[Path]:
        """Return those that are there."""
        return list(self.trees.glob(f"{_SPARE}*"))


def folder_of(destination: str, series: Series) -> Folder:
    """Given a destination and a series, return the series' folder, whether or not it is there."""
    return Folder(Path(destination, series.folder))


def make_folder(destination: str, series: Series) -> Folder:
    """Given a destination and a series, make the series' folder where it is not there yet."""
    found = folder_of(destination, series)
    # Other users of the node must not read, or run, what somebody's files let them.
    Path(destination, series.namespace).mkdir(mode=0o700, exist_ok=True)
    for path in (found.trees, found.points):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return found


def initialise(where: Where, drawn: str) -> str:
    """Given a directory and the id for it if the task names none, mark it as a destination where
    it is not marked yet; return the id that it has.

    Raise UserError if there is no such directory or it is marked with another id than the task's,
    Transient if another holds its lock.
    """
    marker = Path(where.path, MARKER)
    if not Path(where.path).is_dir():
        raise UserError("DestinationNotFound", f"destination: {where.path} is no directory")
    # A marker appears whole, so one that is there needs no lock, and no wait for whoever has it.
    if not marker.exists():
        with moment(where):
            if not marker.exists():
                text = json.dumps({"format": FORMAT, "id": where.id or drawn})
                write_durably(marker, text + "\n")
    found = _identity(marker)
    if where.id and found != where.id:
        raise UserError(
            "DestinationMismatch",
            f"the destination is marked {found} already, not {where.id}; use that id",
        )
    return found


def check_destination(where: Where) -> str:
    """Given where, return the destination's id. Raise UserError if it is not ours or not there."""
    marker = Path(where.path, MARKER)
    if not marker.is_file():
        raise UserError(
            "DestinationNotInitialised",
            f"spec.rolling.destination: it has no {MARKER}; mount the disk that belongs there, or"
            " write its marker with `kubectl backstay init-destination` (for a claim see the"
            " condition CopiesMissing of its policy)",
        )
    found = _identity(marker)
    if where.id and found != where.id:
        raise UserError(
            "DestinationMismatch",
            f"spec.rolling.destination: the disk there is {found}, the administrator allows"
            f" {where.id} (rolling.destinations); mount the right one",
        )
    return found


def _identity(marker: Path) -> str:
    try:
        raw = json.loads(marker.read_text(encoding="utf-8"))
        if raw["format"] != FORMAT or not isinstance(raw["id"], str):
            raise ValueError("another format")
    except OSError as error:
        raise UserError(
            "DestinationMismatch", f"{reason_of(error)}: {marker} cannot be read"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError("DestinationMismatch", f"{marker} cannot be read: {error}") from error
    return str(raw["id"])


@contextmanager
def locked(where: Where, series: Series, *, exclusive: bool, make: bool = False) -> Iterator[str]:
    """Given where and a series, hold the lock of that series and yield the destination's id;
    `make`: with the series' folder made where there is none yet.

    Raise Transient if it is not free within where.lock_seconds, UserError if there is no
    destination, or if it is read-only and `exclusive` is asked for.
    """
    identity = check_destination(where)
    if exclusive and is_read_only(where):
        raise read_only(where)
    if make:
        make_folder(where.path, series)
    path = folder_of(where.path, series).path / SERIES_LOCK
    busy = (
        f"another Job works on the copies of {series.key} (a copy, a restore or a verification)"
        f" and did not end within {where.lock_seconds} s: wait for it, or delete it (kubectl get"
        f" jobs -l backstay.dev/policy={series.policy})"
    )
    # Without a folder there is nothing to be kept from others.
    there = path.parent.is_dir()
    with holding(path, where, busy, exclusive=exclusive) if there else nullcontext():
        yield identity


def write_durably(path: Path, text: str) -> None:
    """Given a file and its text, have it there whole or not at all, also after a power loss."""
    fresh = path.with_name(f".{path.name.removeprefix('.')}.new")
    with named(path):
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
        flush(path.parent)


def flush(folder: Path) -> None:
    """Given a directory, make its names durable, as far as its file system can."""
    with named(folder):
        fd = os.open(folder, DIRECTORY)
        try:
            fsync(fd)
        finally:
            os.close(fd)
