"""The fields of a rolling point in JSON, which others may have edited.

Each function takes the object and returns the field, and raises DataError naming it.
"""

from collections.abc import Mapping
from typing import Any, Final

from backstay.domain.errors import DataError

LACKS: Final = {
    "owner": "the owner",
    "mode": "the mode",
    "time": "the time",
    "attributes": "attributes",
}
_SOURCE_MAX: Final = 8
_WORD_MAX: Final = 200
_TEXTS_MAX: Final = {"labels": (64, 253), "annotations": (32, 1024)}
"""How many there may be, and how long each: what is over that, no Backup could show."""


def text_of(raw: Mapping[str, Any], key: str, where: str) -> str:
    value = raw.get(key)
    if not isinstance(value, str):
        raise DataError(f"{where}.{key}: expected text")
    return value


def number_of(raw: Mapping[str, Any], key: str, where: str = "point") -> int:
    value = raw.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise DataError(f"{where}.{key}: expected a number from 0, of 63 bits")
    return value


def source_of(raw: Mapping[str, Any]) -> tuple[str, ...]:
    value = raw.get("source", [])
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise DataError("point.source: expected a list of texts")
    if len(value) > _SOURCE_MAX or any(len(v) > _WORD_MAX for v in value):
        raise DataError(f"point.source: expected at most {_SOURCE_MAX} of {_WORD_MAX} characters")
    return tuple(value)


def lacks_of(raw: Mapping[str, Any]) -> dict[str, int]:
    value = raw.get("lacks", {})
    if not isinstance(value, dict):
        raise DataError("point.lacks: expected an object of numbers")
    return {key: number_of(value, key, "point.lacks") for key in LACKS if key in value}


def texts_of(raw: Mapping[str, Any], key: str) -> dict[str, str]:
    value = raw.get(key)
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise DataError(f"point.{key}: expected an object of texts")
    most, longest = _TEXTS_MAX[key]
    if len(value) > most or any(len(v) > longest for v in value.values()):
        raise DataError(
            f"point.{key}: expected at most {most} texts of at most {longest} characters"
        )
    return value
