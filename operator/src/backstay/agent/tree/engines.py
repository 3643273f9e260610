"""Data directories of databases that are copied file by file, known by the names in them.

Only SQLite's are copied as of one moment (`database`). The files of any other engine are of one
moment only if it stood still meanwhile, which nobody here can know: so a copy says that it has met
them. Nothing is left out and nothing fails for it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Final

from backstay.agent.fs.listing import Listing

_SURE: Final[Mapping[str, tuple[re.Pattern[bytes], ...]]] = {
    engine: tuple(map(re.compile, patterns))
    for engine, patterns in {
        "PostgreSQL": (rb"PG_VERSION", rb"global"),
        "MySQL or MariaDB": (rb"ibdata1",),
        "MongoDB": (rb"WiredTiger", rb"WiredTiger\.wt"),
        "LevelDB or RocksDB": (rb"CURRENT", rb"MANIFEST-\d+"),
        "Lucene": (rb"segments_[0-9a-z]+", rb"write\.lock"),
        "LMDB": (rb"data\.mdb", rb"lock\.mdb"),
        "Redis": (rb"appendonly\.aof.*|appendonlydir",),
    }.items()
}
"""By engine: what its directory has, each an expression for a whole name."""
_BELOW: Final = {b"pg_wal": "PostgreSQL", b"pg_xlog": "PostgreSQL", b"#innodb_redo": "MySQL"}
"""Directories that change while the one above may not."""


def engines_in(changed: Mapping[bytes, Listing]) -> list[bytes]:
    """Given the directories of a source that changed, return those that are a database's, each
    with its engine.
    """
    found: dict[bytes, str] = {}
    for path, listing in changed.items():
        above, _, name = path.rpartition(b"/")
        if name in _BELOW:
            found.setdefault(above, _BELOW[name])
        known = b"\0".join(listing.names)
        for engine, patterns in _SURE.items():
            if all(one.search(known) for one in patterns) and _are_in(listing, patterns):
                found[path] = engine
    return sorted((path or b".") + b" (" + os.fsencode(word) + b")" for path, word in found.items())


def _are_in(listing: Listing, patterns: Iterable[re.Pattern[bytes]]) -> bool:
    return all(any(map(one.fullmatch, listing.names)) for one in patterns)
