"""Kubernetes quantities of storage, read by the official client."""

from __future__ import annotations

import math
from decimal import Decimal

from kubernetes.utils.quantity import parse_quantity as _parse

from backstay.domain.errors import DataError


def parse_quantity(text: str | int) -> int:
    """Given a quantity such as `1Gi` or `500M`, return bytes, rounded up.

    Raise DataError if it is none.
    """
    try:
        size: Decimal = _parse(text)
    except ValueError as error:
        raise DataError(f"{text!r} is not a quantity such as 10Gi") from error
    return math.ceil(size)
