"""The sources that there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from backstay.api.source import Source as Wanted
from backstay.kube.client import Client
from backstay.sources.base import Resolved, Source
from backstay.sources.claims import Claims
from backstay.sources.host_path import HostPath

SOURCES: Final[tuple[Source, ...]] = (Claims(), HostPath())
"""A new one takes one line here."""
_NO_DUMPS: Final[Mapping[str, str]] = {}


async def resolve(
    client: Client, namespace: str, wanted: Wanted, of_dumps: Mapping[str, str] = _NO_DUMPS
) -> Resolved:
    """Given a namespace, what a policy of it protects, and the claims that its dumps (by name) are
    written to, return that as it stands now.

    Raise UserError, naming the field and the remedy, if something of it is missing.
    """
    source = next(one for one in SOURCES if one.is_named(wanted))
    return await source.resolve(client, namespace, wanted, of_dumps)
