"""What a source is: what a policy says that it protects, found as it stands now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from backstay.api.rolling import PlannedCopy
from backstay.api.source import Source as Wanted
from backstay.domain.objects import Obj
from backstay.kube.client import Client


@dataclass(frozen=True, slots=True)
class Resolved:
    """A source as it was found. Stores make points of its claims, or of its directories."""

    claims: Mapping[str, Obj] = field(default_factory=dict)
    """By name, in that order, as read."""
    directories: tuple[PlannedCopy, ...] = ()
    """Whole claims among them."""
    node: str = ""
    """Where it can be read alone; "": wherever its claims can be had."""


class Source(Protocol):
    """A source, to be registered in `registry.py`."""

    def is_named(self, wanted: Wanted, /) -> bool:
        """Whether a policy's `spec.source` is of this kind."""
        ...

    async def resolve(
        self, client: Client, namespace: str, wanted: Wanted, of_dumps: Mapping[str, str], /
    ) -> Resolved:
        """Return it as it stands, with the claims that dumps (by name) are written to.

        Raise UserError, naming the field and the remedy, if something of it is missing.
        """
        ...
