"""Typed access to a JSON object that others wrote."""

from __future__ import annotations

from backstay.domain.errors import DataError


class Reader:
    """One JSON object and its path. Each method raises DataError, naming the field."""

    def __init__(self, raw: object, path: str) -> None:
        if not isinstance(raw, dict):
            raise DataError(f"{path}: expected an object, found {type(raw).__name__}")
        self._raw: dict[str, object] = raw
        self._path = path

    def has(self, key: str) -> bool:
        return self._raw.get(key) is not None

    def text(self, key: str) -> str:
        value = self._raw.get(key)
        if not isinstance(value, str):
            raise self._wrong(key, "text")
        return value

    def optional(self, key: str) -> str | None:
        return self.text(key) if self.has(key) else None

    def flag(self, key: str) -> bool | None:
        value = self._raw.get(key)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def number(self, key: str) -> int:
        value = self._raw.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self._wrong(key, "a number from 0")
        return value

    def child(self, key: str) -> Reader:
        return Reader(self._raw.get(key), f"{self._path}.{key}")

    def children(self, key: str) -> list[Reader]:
        return [Reader(v, f"{self._path}.{key}[{i}]") for i, v in enumerate(self._list(key))]

    def texts(self, key: str) -> tuple[str, ...]:
        values = [value for value in self._list(key) if isinstance(value, str)]
        if len(values) != len(self._list(key)):
            raise self._wrong(key, "a list of texts")
        return tuple(values)

    def mapping(self, key: str) -> dict[str, str]:
        raw = self._raw.get(key) if self.has(key) else {}
        if not isinstance(raw, dict):
            raise self._wrong(key, "an object of texts")
        found = {k: v for k, v in raw.items() if isinstance(v, str)}
        if len(found) != len(raw):
            raise self._wrong(key, "an object of texts")
        return found

    def _list(self, key: str) -> list[object]:
        raw = self._raw.get(key) if self.has(key) else []
        if not isinstance(raw, list):
            raise self._wrong(key, "a list")
        return raw

    def _wrong(self, key: str, expected: str) -> DataError:
        return DataError(f"{self._path}.{key}: expected {expected}")
