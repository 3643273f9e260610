"""Exclude patterns, with rsync's meaning (rsync(1), PATTERN MATCHING RULES).

`/x` is anchored at the source, `x/` matches directories only, a pattern with an inner slash is
matched against the end of the path, any other against the name; `*` and `?` stop at a slash, `**`
does not. What lies in an excluded directory is excluded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence

from backstay.domain.errors import UserError

Excluded = Callable[[bytes, bool], bool]
"""Given a path below the source and whether it is a directory, whether it is left out."""


def compile_excludes(patterns: Sequence[str]) -> Excluded | None:
    """Given patterns, return the predicate, None for no patterns.

    Raise UserError for an empty pattern or a `[` that is never closed.
    """
    if not patterns:
        return None
    both: list[bytes] = []
    directories: list[bytes] = []
    for pattern in patterns:
        raw = os.fsencode(pattern)
        if not raw.strip(b"/"):
            raise UserError("BadExclude", f"spec.rolling.exclude: {pattern!r} names nothing")
        (directories if raw.endswith(b"/") else both).append(_expression(raw.rstrip(b"/")))
    of_all = re.compile(b"|".join(both) or b"(?!)", re.DOTALL)
    of_directories = re.compile(b"|".join(both + directories), re.DOTALL)

    def excluded(path: bytes, is_directory: bool) -> bool:
        return bool((of_directories if is_directory else of_all).fullmatch(path))

    return excluded


def _expression(pattern: bytes) -> bytes:
    anchored = pattern.startswith(b"/")
    pattern = pattern.lstrip(b"/")
    prefix = b"" if anchored else b"(?:.*/)?"
    return b"(?:" + prefix + b"".join(_pieces(pattern)) + b")"


def _pieces(pattern: bytes) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at < len(pattern):
        char = pattern[at : at + 1]
        if pattern.startswith(b"**", at):
            found.append(b".*")
            at += 2
            continue
        if char == b"[":
            end = pattern.find(b"]", at + 2)
            if end < 0:
                raise UserError("BadExclude", f"spec.rolling.exclude: {pattern!r} has an open [")
            inside = pattern[at + 1 : end].replace(b"\\", b"\\\\").replace(b"[", b"\\[")
            negated = inside[:1] in {b"!", b"^"}
            found.append(b"(?!/)[" + (b"^" + inside[1:] if negated else inside) + b"]")
            at = end + 1
            continue
        if char == b"\\" and at + 1 < len(pattern):
            at += 1
            char = pattern[at : at + 1]
            found.append(re.escape(char))
        else:
            found.append({b"*": b"[^/]*", b"?": b"[^/]"}.get(char, re.escape(char)))
        at += 1
    return found
