"""The container that a dump or a hook runs in, and what of the run its pod has."""

from __future__ import annotations

from dataclasses import dataclass

from backstay.domain.sources.mounts import Mount


@dataclass(frozen=True, slots=True)
class DumpPlace:
    """The container that a dump runs in, and where its file lies on which claim."""

    pod: str
    pod_uid: str
    container: str
    container_id: str
    claim: str
    path: str
    mounts: tuple[Mount, ...] = ()
    """The container's, in the order of its spec."""


@dataclass(frozen=True, slots=True)
class HookPlace:
    """The container that a hook runs in, and which claims of the run its pod has."""

    pod: str
    pod_uid: str
    container: str
    container_id: str
    claims: tuple[str, ...]
