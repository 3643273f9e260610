"""Keep what a Secret says out of everything that is passed on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote, quote_plus, unquote, urlsplit

FEWEST: Final = 4
"""Characters that a value has at least to be searched for: a shorter one is in every word."""
_LINE: Final = 16
"""Characters of a line of a long value (a key file) that is a secret by itself."""
_PLAIN: Final = frozenset(
    {
        *("AWS_DEFAULT_REGION", "RESTIC_COMPRESSION", "RESTIC_PACK_SIZE"),
        *("RESTIC_READ_CONCURRENCY", "SWIFT_DEFAULT_CONTAINER_POLICY"),
    }
)
"""Keys whose values everybody writes."""


class Redaction:
    """What is searched for in a text, and what is put in its place: the key's name."""

    def __init__(self, values: Mapping[str, str]) -> None:
        """Given a Secret's values by their keys."""
        names: dict[str, str] = {}
        for key, value in values.items():
            if key in _PLAIN:
                continue
            for form in _forms(value):
                names.setdefault(form, key)
        self._names = names
        # The longest first: a value may be a part of another.
        found = sorted(names, key=len, reverse=True)
        self._any = re.compile("|".join(map(re.escape, found))) if found else None

    def __call__(self, text: str) -> str:
        """Given a text, return it with the key's name for each value."""
        if self._any is None:
            return text
        return self._any.sub(lambda match: f"[{self._names[match[0]]}]", text)


def _forms(value: str) -> Iterable[str]:
    """A value, and the ways in which programs write it."""
    whole = value.strip()
    parts = [whole]
    lines = [line.strip() for line in whole.splitlines()]
    if len(lines) > 1:
        parts += [line for line in lines if len(line) >= _LINE]
    parts += _inner(whole)
    for part in parts:
        if len(part) < FEWEST:
            continue
        quoted = json.dumps(part, ensure_ascii=False)[1:-1]
        yield from {part, quoted, json.dumps(part)[1:-1], quote(part, safe=""), quote_plus(part)}


def _inner(value: str) -> list[str]:
    """The secrets inside of a value: a URL's user and password, what a JSON object says."""
    if value.startswith("{"):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            return []
        texts = [text for text in found.values() if isinstance(text, str)]
        return [text for text in texts if len(text) >= _LINE]
    if "://" not in value:
        return []
    scheme, _, rest = value.partition("://")
    try:
        parts = urlsplit(f"{scheme.rpartition(':')[2]}://{rest}")
    except ValueError:
        return []
    return [unquote(part) for part in (parts.password,) if part]
