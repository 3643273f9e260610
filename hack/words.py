"""Find words that Backstay does not use, in tracked and new files, and print what to write instead.

Identifiers count as words: `_told`, `tellHook`. A phrase counts across a line break. The exit
status is 1 if any is found.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
NOT_OURS: Final = ("hack/words.py", "tests/unit/test_words.py", "go.sum", "requirements/dev.txt")
"""This check, its test, and files whose hashes may spell anything: ends of paths."""
_GAP: Final = r"[\s#|>*]+"


class Ban(NamedTuple):
    """A pattern of lower-case words with spaces between them, and what to write instead."""

    pattern: str
    instead: str


BANS: Final = (
    Ban(r"tell|tells|telling|teller|told", "report, say, show; distinguish for `tell apart`"),
    Ban(r"(?:what|whatever) (?:became|becomes?) of", "the outcome of, what happens to"),
    Ban(r"let(?:s|ting)? (?:\w+ )?go(?! on\b)", "release"),
    Ban(r"words? of", "missing, unknown; value, text, arguments"),
    Ban(r"whereto", "where, the destination"),
    Ban(r"anew", "again, recreate, start over"),
    Ban(r"strangers?", "foreign, other, unknown"),
    Ban(r"strikes?|striking|struck", "remove, drop"),
    Ban(r"dress(?:es|ed|ing)?", "set the metadata"),
    Ban(r"cuts?|cutting|uncut", "take a snapshot, taken; shorten, truncate, sever, interrupt"),
)
_ALLOWED: Final = re.compile(r"\.tell\(\)|\bcut (?=-)")
"""A file's position in Python, and cut(1) in scripts."""
_ANY: Final = re.compile(
    "|".join(rf"\b(?P<b{at}>{ban.pattern})\b".replace(" ", _GAP) for at, ban in enumerate(BANS))
)


class Finding(NamedTuple):
    """A banned word, the line that it starts in, and what to write instead."""

    line: int
    word: str
    instead: str


def findings(text: str) -> Iterator[Finding]:
    """Yield the banned words of a text, in order."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", _ALLOWED.sub("", text))
    words = split.replace("_", " ").lower()
    for match in _ANY.finditer(words):
        line = words.count("\n", 0, match.start()) + 1
        ban = BANS[int((match.lastgroup or "")[1:])]
        yield Finding(line, " ".join(re.split(_GAP, match[0])), ban.instead)


def main() -> int:
    """Print each banned word with its file and line; return the exit status."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    status = 0
    for name in sorted(set(listed.split("\0")) - {""}):
        path = ROOT / name
        if name.endswith(NOT_OURS) or not path.is_file():
            continue
        for line, word, instead in findings(path.read_text(encoding="utf-8", errors="replace")):
            print(f"{name}:{line}: {word!r}: write {instead}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
