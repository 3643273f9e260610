"""Merge patches (RFC 7386) as the difference of two wire forms."""

from collections.abc import Mapping
from typing import Any

from backstay.domain.objects import Obj


def merge_diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> Obj:
    """Given two JSON objects, return the merge patch from old to new, {} if they are equal.

    What is gone becomes an explicit null; lists are replaced whole, as the RFC has it.
    """
    patch: Obj = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            if inner := merge_diff(before, value):
                patch[key] = inner
        elif value != before:
            patch[key] = value
    return patch
