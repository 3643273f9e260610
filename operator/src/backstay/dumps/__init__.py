"""Database dumps: one module per engine behind one Protocol."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from backstay.dumps.base import Engine
from backstay.dumps.postgres import Postgres

ENGINES: Mapping[str, Engine] = MappingProxyType({"postgres": Postgres()})
"""The engines by the name that a policy's dump gives them."""
