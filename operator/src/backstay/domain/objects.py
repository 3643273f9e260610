"""Kubernetes objects as raw JSON dicts, and how to look into them without surprises.

Invariants: nothing here changes what it is given; what is absent reads as empty, never as an
error, because every field of an object that others write may be missing.

Import the module, not its names: `objects.labels(claim)` reads well, and `annotations` would
clash with `from __future__ import annotations`.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

Obj: TypeAlias = dict[str, Any]


def dig(obj: Mapping[str, Any] | None, *path: str, default: Any = None) -> Any:
    """Given an object and keys, return the value at that path, or `default` if there is none.

    A null counts as absent: the API server drops nulls, merge patches write them.
    """
    here: Any = obj
    try:  # costs nothing where it does not fail, and a look at everything asks very often
        for key in path:
            here = here.get(key)
    except AttributeError:
        return default
    return default if here is None else here


def meta(obj: Mapping[str, Any]) -> Obj:
    """Given an object, return its metadata, {} if it has none."""
    return dict(_meta(obj))


def labels(obj: Mapping[str, Any]) -> dict[str, str]:
    """Given an object, return a copy of its labels, {} if it has none."""
    return dict(_meta(obj).get("labels") or {})


def annotations(obj: Mapping[str, Any]) -> dict[str, str]:
    """Given an object, return a copy of its annotations, {} if it has none."""
    return dict(_meta(obj).get("annotations") or {})


def with_annotations(obj: Obj, more: Mapping[str, str]) -> Obj:
    """Given an object, return it with these annotations put in or replaced."""
    metadata = {**_meta(obj), "annotations": {**annotations(obj), **more}}
    return {**obj, "metadata": metadata}


def name(obj: Mapping[str, Any]) -> str:
    """Given an object, return its name, "" if it has none."""
    return str(_meta(obj).get("name") or "")


def namespace(obj: Mapping[str, Any]) -> str:
    """Given an object, return its namespace, "" if it is cluster-scoped."""
    return str(_meta(obj).get("namespace") or "")


def uid(obj: Mapping[str, Any]) -> str:
    """Given an object, return its uid, "" if it was never stored."""
    return str(_meta(obj).get("uid") or "")


def version(obj: Mapping[str, Any]) -> str:
    """Given an object, return its resourceVersion, "" if it was never stored."""
    return str(_meta(obj).get("resourceVersion") or "")


def _meta(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    # Not by `dig`: a look at everything asks for these some 40 times per point.
    return obj.get("metadata") or {}
