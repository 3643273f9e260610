"""restic's environment, made from the keys of a Secret that VolSync takes too.

Invariants: nothing else of a Secret reaches restic, least of all what names a command to run; a
value is in the environment of restic alone, never in its arguments.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backstay.agent.restic.redaction import Redaction
from backstay.agent.restic.repository import Repository
from backstay.domain.stores.repository.failures import RepositoryError
from backstay.domain.stores.repository.reasons import Reason

REPOSITORY: Final = "RESTIC_REPOSITORY"
PASSWORD: Final = "RESTIC_PASSWORD"  # noqa: S105 - the name of a key
_GOOGLE: Final = "GOOGLE_APPLICATION_CREDENTIALS"
_TAKEN: Final = frozenset(
    {
        *(REPOSITORY, PASSWORD, _GOOGLE, "GOOGLE_PROJECT_ID"),
        *("RESTIC_COMPRESSION", "RESTIC_PACK_SIZE", "RESTIC_READ_CONCURRENCY"),
        *("RESTIC_REST_USERNAME", "RESTIC_REST_PASSWORD"),
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
        *("AWS_DEFAULT_REGION", "AWS_PROFILE", "SWIFT_DEFAULT_CONTAINER_POLICY"),
    }
)
_PREFIXES: Final = ("RESTIC_AWS_ASSUME_ROLE_", "ST_", "OS_", "B2_", "AZURE_", "RCLONE_")
_COMMANDS: Final = ("_COMMAND", "_SSH")
"""Ends of rclone's options that name a program to run."""
_REGION: Final = "us-east-1"
_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(frozen=True, slots=True)
class Environment:
    """What restic is run with, and the names of the keys that it does not get."""

    variables: Mapping[str, str]
    ignored: tuple[str, ...]
    redact: Redaction

    @property
    def repository(self) -> str:
        """Where the repository is, in restic's words."""
        return self.variables[REPOSITORY]

    @property
    def ca(self) -> str:
        """The file of the custom CA, "" if there is none."""
        return self.variables.get("RESTIC_CACERT", "")


def environment_of(repository: Repository, own: Mapping[str, str]) -> Environment:
    """Given a repository and the agent's own environment, return that of restic.

    Raise RepositoryError SecretIncomplete if the Secret, a key of it or the CA is missing.
    """
    secret = _read(Path(repository.secret))
    taken = {key: value for key, value in secret.items() if _is_taken(key)}
    _check(repository, taken)
    if _GOOGLE in taken:
        # restic wants a file, and the key's is one.
        taken[_GOOGLE] = str(Path(repository.secret, _GOOGLE))
    taken[REPOSITORY] = _place(repository, taken)
    variables = {
        "PATH": own.get("PATH", os.defpath),
        # restic reads --time in the local zone.
        "TZ": "UTC",
        "RESTIC_CACHE_DIR": repository.cache,
        # Packs are put together there, which may be a gigabyte; nothing else has such room.
        "TMPDIR": repository.cache,
        "RESTIC_PROGRESS_FPS": "1",
        # Without one, restic retries for minutes what is refused at once with one.
        "AWS_DEFAULT_REGION": _REGION,
        **{key: own[key] for name in _PROXIES for key in (name, name.lower()) if key in own},
        **taken,
    }
    if repository.ca:
        variables["RESTIC_CACERT"] = repository.ca
    ignored = tuple(sorted(secret.keys() - taken.keys()))
    return Environment(variables, ignored, Redaction(secret))


def _read(secret: Path) -> dict[str, str]:
    """The values of a mounted Secret by key, {} where nothing is mounted."""
    try:
        # Kubernetes keeps its own folders there, all of which begin with two dots.
        keys = [path for path in secret.iterdir() if not path.name.startswith("..")]
        return {path.name: os.fsdecode(path.read_bytes()) for path in keys if path.is_file()}
    except FileNotFoundError:
        return {}


def _is_taken(key: str) -> bool:
    if key in _TAKEN:
        return True
    return key.startswith(_PREFIXES) and not key.endswith(_COMMANDS)


def _check(repository: Repository, taken: Mapping[str, str]) -> None:
    needed = (PASSWORD,) if repository.local else (REPOSITORY, PASSWORD)
    lacking = [key for key in needed if not taken.get(key, "").strip()]
    if not taken:
        raise _incomplete("the Secret is missing or has no key that restic takes; it needs", needed)
    if lacking:
        raise _incomplete("the Secret lacks", lacking)
    if broken := sorted(key for key, value in taken.items() if "\0" in value):
        raise _incomplete("the Secret has a zero byte in", broken)
    if repository.ca and not Path(repository.ca).is_file():
        raise RepositoryError(
            Reason.SECRET_INCOMPLETE,
            "the custom CA is missing: what spec.customCA names has no such key",
        )


def _incomplete(what: str, keys: tuple[str, ...] | list[str]) -> RepositoryError:
    return RepositoryError(Reason.SECRET_INCOMPLETE, f"{what} {' and '.join(keys)}")


def _place(repository: Repository, taken: Mapping[str, str]) -> str:
    place = repository.local or taken[REPOSITORY].strip()
    suffix = repository.path_suffix.strip("/")
    return f"{place.rstrip('/')}/{suffix}" if suffix else place
