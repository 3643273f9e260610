"""What a CRD says beside its schema: names, scope, printer columns, selectable fields."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`; `wide` columns are shown with -o wide only."""

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True, slots=True)
class CrdMeta:
    """Names and presentation of one namespaced kind with a status subresource.

    `name_max` bounds metadata.name where names of other objects are made by adding to it.
    """

    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...]
    description: str
    columns: tuple[Column, ...]
    selectable_fields: tuple[str, ...] = ()
    name_max: int | None = None
