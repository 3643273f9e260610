"""A record as a tag of its snapshot carries it: JSON, zlib, base64.

Invariants: a tag is small and has no comma, at which restic would split it; what is read back was
written by anybody who has the password, so nothing in it is taken on trust, least of all its size.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Mapping
from typing import Any, Final

from backstay.domain.errors import DataError

LIMIT: Final = 8 * 1024
"""Characters of the tag's text."""
_UNPACKED: Final = 64 * 1024
"""Bytes of JSON: more than this in so few characters is no record. A pipe holds that much."""
_TEXT: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def encode(record: Mapping[str, Any]) -> str:
    """Given a record, return its text. Raise DataError if that is too large."""
    whole = to_json(record)
    if len(whole) > _UNPACKED:
        raise DataError(f"the record takes {len(whole)} bytes, more than {_UNPACKED}")
    packed = zlib.compress(whole, 9)
    text = base64.urlsafe_b64encode(packed).rstrip(b"=").decode()
    if len(text) > LIMIT:
        raise DataError(f"the record takes {len(text)} characters, more than {LIMIT}")
    return text


def to_json(record: Mapping[str, Any]) -> bytes:
    """Given a record, return the JSON that it is stored as."""
    return json.dumps(record, separators=(",", ":"), sort_keys=True).encode()


def decode(text: str) -> dict[str, Any]:
    """Given a text, return the record in it. Raise DataError if it is none."""
    if len(text) > LIMIT or not _TEXT.fullmatch(text):
        raise DataError(f"a record is at most {LIMIT} characters of base64")
    try:
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        found = json.loads(_unpacked(packed))
    except (binascii.Error, zlib.error, ValueError, RecursionError) as error:
        raise DataError(f"the record is damaged: {error}") from error
    if not isinstance(found, dict):
        raise DataError("the record is no JSON object")
    return found


def _unpacked(packed: bytes) -> bytes:
    reader = zlib.decompressobj()
    found = reader.decompress(packed, _UNPACKED)
    if reader.unconsumed_tail:
        raise DataError(f"the record has more than {_UNPACKED} bytes")
    if not reader.eof or reader.unused_data:
        raise DataError("the record is not whole, or has something behind it")
    return found
