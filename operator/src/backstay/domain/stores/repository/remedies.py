"""What a person can do about a repository that cannot be used.

The agent says what is wrong, and knows neither the names of objects nor the fields of the spec:
they are added here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from backstay.api.repository import Access, RepositorySpec
from backstay.domain.stores.repository.reasons import Reason

Remedy = Callable[[RepositorySpec, str], str]


def remedy(reason: str, spec: RepositorySpec, id: str) -> str:
    """Given the agent's reason, the spec and the ID that is known ("": none), return what to do
    about it, "" if there is nothing to add.
    """
    found = _REMEDIES.get(reason)
    return found(spec, id) if found is not None else ""


def _secret(spec: RepositorySpec, _: str) -> str:
    return f"the Secret is {spec.secret_ref.name}"


def _access_denied(spec: RepositorySpec, id: str) -> str:
    if spec.claim is not None:
        return "set spec.mover.securityContext to a user or an fsGroup that may use the claim"
    return _secret(spec, id)


def _no_repository(spec: RepositorySpec, _: str) -> str:
    if spec.access is Access.READ_ONLY:
        return "none is made where spec.access is ReadOnly"
    return "set spec.initialise to IfMissing to have one made"


_ACCEPT: Final = "delete this BackupRepository and make it again; that deletes nothing stored"


def _vanished(_: RepositorySpec, id: str) -> str:
    return f"bring repository {id[:8]} back; or, to begin with an empty one, {_ACCEPT}"


def _replaced(_: RepositorySpec, id: str) -> str:
    return f"bring repository {id[:8]} back; or, to accept the one that is there, {_ACCEPT}"


def _unreachable(*_: object) -> str:
    return "is there a NetworkPolicy in this namespace that spec.mover.podLabels has to match?"


def _untrusted(spec: RepositorySpec, _: str) -> str:
    if spec.custom_ca is None:
        return ""
    ca = spec.custom_ca
    where = f"Secret {ca.secret_name}" if ca.secret_name else f"ConfigMap {ca.config_map_name}"
    return f"its CA is {ca.key} of {where}"


def _secret_incomplete(spec: RepositorySpec, id: str) -> str:
    return "; ".join(filter(None, (_secret(spec, id), _untrusted(spec, id))))


_REMEDIES: Final[Mapping[str, Remedy]] = MappingProxyType(
    {
        Reason.WRONG_PASSWORD: _secret,
        Reason.ACCESS_DENIED: _access_denied,
        Reason.BUCKET_MISSING: _secret,
        Reason.NO_REPOSITORY: _no_repository,
        Reason.VANISHED: _vanished,
        Reason.REPLACED: _replaced,
        Reason.UNREACHABLE: _unreachable,
        Reason.UNTRUSTED: _untrusted,
        Reason.SECRET_INCOMPLETE: _secret_incomplete,
        Reason.LOCKED: lambda *_: (
            "it is looked at again; if nobody holds the lock any more, set "
            "spec.unlock to another value"
        ),
        Reason.FULL: lambda *_: "raise its quota, or the size of its volume",
        Reason.CLOCK_SKEWED: lambda *_: "the Pod of the Job shows which node it ran on",
        Reason.CACHE_FULL: lambda *_: "raise spec.cache.size",
        Reason.RESTIC_TOO_OLD: lambda *_: "set spec.mover.image, or update Backstay",
    }
)
