"""Exclude patterns, with rsync's meaning (rsync(1), PATTERN MATCHING RULES).

`/x` is anchored at the source, `x/` matches directories only, a pattern with an inner slash is
matched against the end of the path, any other against the name; `*` and `?` stop at a slash, `**`
does not; `x/***` is a directory and what is in it. A backslash escapes only where the pattern has a
wildcard. What lies in an excluded directory is excluded.
"""

from __future__ import annotations

import os
import re
import string
from collections.abc import Callable, Sequence
from typing import Final

from backstay.domain.errors import UserError

Excluded = Callable[[bytes, bool], bool]
"""Given a path below the source and whether it is a directory, whether it is left out."""

_ANYTHING: Final = b".*"
_NOTHING: Final = b"(?!)"
_SLASH: Final = b"/"
_MEMBER: Final = re.compile(rb"\[:([^]]*):\]|(\\.|[^\\])(?:-(\\.|[^]\\]))?", re.DOTALL)
"""What may stand between brackets: a class, a character, or a range of them."""
_PRINTED: Final = bytes(range(33, 127))
_CLASSES: Final = {
    b"alnum": (string.ascii_letters + string.digits).encode(),
    b"alpha": string.ascii_letters.encode(),
    b"blank": b" \t",
    b"cntrl": bytes([*range(32), 127]),
    b"digit": string.digits.encode(),
    b"graph": _PRINTED,
    b"lower": string.ascii_lowercase.encode(),
    b"print": _PRINTED + b" ",
    b"punct": string.punctuation.encode(),
    b"space": string.whitespace.encode(),
    b"upper": string.ascii_uppercase.encode(),
    b"xdigit": string.hexdigits.encode(),
}


def compile_excludes(patterns: Sequence[str]) -> Excluded | None:
    """Given patterns, return the predicate, None for no patterns.

    Raise UserError for an empty pattern, a `[` that is never closed or a `[:class:]` that is none.
    """
    if not patterns:
        return None
    both: list[bytes] = []
    directories: list[bytes] = []
    for pattern in patterns:
        raw = os.fsencode(pattern)
        if not raw.strip(b"/"):
            raise _bad(raw, "names nothing; name a file, or remove it")
        every, those = _expressions(raw.rstrip(b"/"))
        (directories if raw.endswith(b"/") else both).append(every)
        directories += those
    of_all = re.compile(b"|".join(both) or _NOTHING, re.DOTALL)
    of_directories = re.compile(b"|".join(both + directories), re.DOTALL)

    def excluded(path: bytes, is_directory: bool) -> bool:
        return bool((of_directories if is_directory else of_all).fullmatch(path))

    return excluded


def _bad(pattern: bytes, why: str) -> UserError:
    return UserError("BadExclude", f"spec.rolling.exclude: {os.fsdecode(pattern)!r} {why}")


def _expressions(pattern: bytes) -> tuple[bytes, list[bytes]]:
    """The expression of a pattern, and those that it has for directories beside that."""
    anchored = pattern.startswith(b"/")
    pattern = pattern.lstrip(b"/")
    pieces = _pieces(pattern)
    itself = pattern.endswith(b"***") and pieces[-2:] == [_SLASH, _ANYTHING]
    if not anchored:
        if pieces[:2] == [_ANYTHING, _SLASH]:
            del pieces[:2]  # that slash may be the one before the path
        elif b"**" not in pattern and pieces.count(_SLASH) < pattern.count(_SLASH):
            pieces = [_NOTHING]  # rsync counts one in brackets too, and compares too many names
        pieces.insert(0, b"(?:.*/)?")
    return _grouped(pieces), [_grouped(pieces[:-2])] if itself else []


def _grouped(pieces: Sequence[bytes]) -> bytes:
    return b"(?:" + b"".join(pieces) + b")"


def _pieces(pattern: bytes) -> list[bytes]:
    if not re.search(rb"[*?[]", pattern):
        return [re.escape(pattern[at : at + 1]) for at in range(len(pattern))]
    found: list[bytes] = []
    at = 0
    while at < len(pattern):
        char = pattern[at : at + 1]
        at += 1
        if char == b"*":
            end = len(pattern) - len(pattern[at:].lstrip(b"*"))
            found.append(b"[^/]*" if end == at else _ANYTHING)
            at = end
        elif char == b"[":
            piece, at = _brackets(pattern, at)
            found.append(piece)
        elif char == b"?":
            found.append(b"[^/]")
        elif char == b"\\":
            # At the end it escapes nothing, and then rsync finds nothing either.
            found.append(re.escape(pattern[at : at + 1]) or _NOTHING)
            at += 1
        else:
            found.append(re.escape(char))
    return found


def _brackets(pattern: bytes, at: int) -> tuple[bytes, int]:
    """Given a pattern and where one of its `[` is open, return its expression and where it ends."""
    negated = pattern[at : at + 1] in {b"!", b"^"}
    begin = at = at + negated
    members: set[int] = set()
    while at == begin or pattern[at : at + 1] != b"]":
        member = _MEMBER.match(pattern, at)
        if member is None:
            raise _bad(pattern, "has a [ without its ]; close it, or write \\[")
        name, low, high = member.groups()
        if name is None:
            # A range that goes backwards is its first character.
            members |= {low[-1], *range(low[-1], (high or low)[-1] + 1)}
        elif name in _CLASSES:
            members |= {*_CLASSES[name]}
        else:
            known = ", ".join(key.decode() for key in _CLASSES)
            raise _bad(pattern, f"has a class that is none; those are {known}")
        at = member.end()
    # Brackets match no slash, whatever is in them.
    members = members | {*_SLASH} if negated else members - {*_SLASH}
    inside = b"".join(b"\\x%02x" % code for code in sorted(members))
    return b"[" + b"^" * negated + inside + b"]" if members else _NOTHING, at + 1
