"""Ask a container what databases keep on its volumes, as their files say: scripts/layout.sh.

For a run without a dump that would ask the server itself. What cannot be read is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from pydantic import TypeAdapter, ValidationError

from backstay.domain.errors import DataError
from backstay.domain.sources.mounts import Mount
from backstay.domain.sources.server_data import DataDirectory
from backstay.dumps.base import Command


@dataclass(frozen=True, slots=True)
class Layout:
    """What lies where in a container."""

    data: tuple[DataDirectory, ...]
    mounts: tuple[str, ...]
    """The real paths of the mounts that were asked for, "" for what could not be entered."""


_ANSWER = TypeAdapter(Layout)


def ask(mounts: Sequence[Mount]) -> Command:
    """Given a container's mounts, return the command that prints its layout; it writes nothing."""
    return Command(("/bin/sh", "-s", "--", *(m.path for m in mounts)), _script())


def parse_layout(stdout: bytes) -> Layout:
    """Given what the command printed, return it read. Raise DataError if it is not our answer."""
    try:
        return _ANSWER.validate_json(stdout.strip(), strict=True)
    except ValidationError as error:
        shown = stdout.decode(errors="replace").strip()[:300]
        raise DataError(f"the layout of a container cannot be understood: {shown!r}") from error


@cache
def _script() -> bytes:
    folder = resources.files(__package__) / "scripts"
    parts = ("record", "supply", "where", "layout")
    return b"".join((folder / f"{name}.sh").read_bytes() for name in parts) + b'main "$@"; exit\n'
