"""Database dumps: one module and one script per engine behind `base.Engine`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from backstay.dumps import command, mongodb, mysql, postgres, redis, sqlite
from backstay.dumps.base import Engine

ENGINES: Mapping[str, Engine[Any]] = MappingProxyType(
    {
        engine.name: engine
        for engine in (
            Engine("postgres", postgres.words),
            Engine("mysql", mysql.words),
            Engine("mongodb", mongodb.words),
            Engine("redis", redis.words),
            Engine("sqlite", sqlite.words),
            Engine("command", command.words),
        )
    }
)
"""The engines by the name that a policy's dump gives them."""
