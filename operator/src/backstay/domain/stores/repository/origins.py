"""Of what a point is, as its record says: what retention compares with other points.

Invariant: a record was written by anybody who has the password, so what is not as it should be is
left out; the agent answers with it and Backups made of records show the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from backstay.domain.retention.forms import form_of

FORM_MAX: Final = 64
"""Characters of a form."""


def origin_of(said: Mapping[str, Any]) -> dict[str, Any]:
    """Given what the operator had recorded of a point, return its source as Backups show it
    (`stored.source`).
    """
    claim = said.get("claim")
    claim = claim if isinstance(claim, dict) else {}
    raw = said.get("dumps")
    dumps = [dump for dump in raw if _is_dump(dump)] if isinstance(raw, list) else []
    found: dict[str, Any] = {
        "ids": [id for id in map(claim.get, ("uid", "volume")) if isinstance(id, str) and id],
        "servers": {d["name"]: d["server"] for d in dumps if isinstance(d.get("server"), str)},
        "dumps": {d["name"]: d["bytes"] for d in dumps if _is_size(d.get("bytes"))},
        "forms": {d["name"]: _form_of(d) for d in dumps},
    }
    continues = claim.get("continues")
    return found | ({"continues": continues} if isinstance(continues, str) else {})


def _form_of(dump: Mapping[str, Any]) -> str:
    compressed = dump.get("compressed")
    packed = compressed if isinstance(compressed, bool) else None
    return form_of(_text(dump.get("format")), _text(dump.get("compression")), packed)[:FORM_MAX]


def _text(raw: object) -> str | None:
    return raw if isinstance(raw, str) else None


def _is_dump(raw: object) -> bool:
    return isinstance(raw, dict) and isinstance(raw.get("name"), str)


def _is_size(raw: object) -> bool:
    return isinstance(raw, int) and not isinstance(raw, bool) and raw >= 0
