"""What is above the paths that a restore writes to, which it must leave as it is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from backstay.agent.fs.paths import VANISHED, Descent, printable
from backstay.agent.target.directory import FIELD
from backstay.domain.errors import UserError


def is_below(path: bytes, above: Mapping[bytes, object] | set[bytes]) -> bool:
    """Given a path and others, return whether it is one of them or below one."""
    while path:
        if path in above:
            return True
        path = os.path.dirname(path)
    return False


def parents_of(path: bytes) -> Iterator[bytes]:
    """Given a path, yield those above it, b"" the last."""
    while path:
        path = os.path.dirname(path)
        yield path


@dataclass(frozen=True, slots=True)
class Above:
    """The directories above chosen paths, in a target that is there: as they were found."""

    times: Mapping[bytes, tuple[int, int]]
    """By path, those that were there: when they were read and changed, in nanoseconds."""
    missing: tuple[bytes, ...]

    @classmethod
    def of(cls, target: int, paths: tuple[bytes, ...]) -> Above:
        """Given a target and the paths below it that are restored, look at what is above them.

        Raise UserError where something else than a directory is in their place.
        """
        times: dict[bytes, tuple[int, int]] = {}
        missing: list[bytes] = []
        descent = Descent(target)
        try:
            for path in sorted({above for one in paths for above in parents_of(one)}):
                try:
                    one = os.fstat(descent(path))
                except FileNotFoundError:
                    missing.append(path)
                    continue
                except OSError as error:
                    if error.errno not in VANISHED:
                        raise
                    raise UserError(
                        "TargetIsSymlink",
                        f"{FIELD}.paths: {printable(path)} is a symlink or a file in the target;"
                        " move it away, or restore into a new directory",
                    ) from error
                times[path] = one.st_atime_ns, one.st_mtime_ns
        finally:
            descent.close()
        return cls(times, tuple(missing))

    def put_back(self, target: int) -> None:
        """Given the target, give those that were there the times that they had: entries were put
        into them, and that is all.
        """
        descent = Descent(target)
        for path, times in self.times.items():
            os.utime(descent(path), ns=times)
        descent.close()
