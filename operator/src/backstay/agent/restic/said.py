"""What restic says on its standard error: JSON of its own, and lines of words."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, Final

from backstay.agent.restic.redaction import Redaction
from backstay.domain.stores.repository.exits import has_recovered, is_hopeless

KEPT: Final = 500
"""Lines, the last ones."""
PATIENCE: Final = 8
"""Times in a row that restic may repeat what cannot work, some ten seconds: a server may say once
what does not hold.
"""
_LONGEST: Final = 64 * 1024
_SHOWN: Final = 2000
OnError = Callable[[str, str], None]
"""Called with an entry of the source and what was wrong with it."""


@dataclass(slots=True)
class Said:
    """The last lines, without what is secret, and the words that restic ended with."""

    redact: Redaction
    on_error: OnError | None = None
    cache: str = ""
    on_hopeless: Callable[[], object] | None = None
    """Called once, when restic repeats again and again what cannot work."""
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT))
    end: str = ""
    _hopeless: int = 0

    def read(self, stream: IO[bytes]) -> None:
        """Given restic's standard error, read it to its end; what is words goes to the log."""
        while raw := stream.readline(_LONGEST):
            self._take(raw.decode(errors="replace").strip())

    def all(self) -> list[str]:
        """Return the lines, and last what restic ended with."""
        return [*self.lines, self.end] if self.end else [*self.lines]

    def _take(self, line: str) -> None:
        if not line:
            return
        found = _object(line)
        if found is None:
            line = self.redact(line)
            self.lines.append(line)
            sys.stderr.write(f"restic: {line[:_SHOWN]}\n")
            self._watch(line)
        elif found.get("message_type") == "exit_error":
            self.end = self.redact(str(found.get("message", "")))
        elif found.get("message_type") == "error":
            self._error(found)

    def _watch(self, line: str) -> None:
        if has_recovered(line):
            self._hopeless = 0
        elif is_hopeless(line, cache=self.cache):
            self._hopeless += 1
            if self._hopeless == PATIENCE and self.on_hopeless is not None:
                self.on_hopeless()

    def _error(self, found: dict[str, Any]) -> None:
        # A check says what is wrong without naming an entry.
        error = found.get("error", found)
        words = str(error.get("message", "")) if isinstance(error, dict) else str(error)
        item = str(found.get("item", ""))
        # The scanner only counts ahead; what it cannot read the archiver cannot either.
        if self.on_error is not None and found.get("during") != "scan":
            self.on_error(item, self.redact(words))
        elif self.on_error is None:
            self.lines.append(self.redact(f"{item}: {words}" if item else words.strip()))


def json_objects(chunks: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """Given pieces of a text, yield the object of each line that is one."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from filter(None, (_object(line.decode(errors="replace")) for line in lines))
    last = _object(rest.decode(errors="replace"))
    if last is not None:
        yield last


def _object(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
