"""A repository that can be used: reached, opened with its password, and the one that it should be.

Invariants: nothing here makes a repository but `initialised`, and that only where restic says that
there is none (10), and the operator knows of none: one that is known and not there has vanished,
and a new one in its place would hide that.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from backstay.agent.restic.engine import NO_LOCK, Restic, ending_in_order
from backstay.agent.restic.environment import environment_of
from backstay.agent.restic.locks import read_locks
from backstay.agent.restic.preflight import lacks_bucket, preflight
from backstay.agent.restic.repository import Repository
from backstay.agent.restic.version import check_version, shown, version_of
from backstay.domain.stores.repository.exits import NO_REPOSITORY, judge
from backstay.domain.stores.repository.failures import RepositoryError
from backstay.domain.stores.repository.reasons import Reason

_SECONDS: Final = 60.0
_INITIALISING: Final = 300.0


@dataclass(frozen=True, slots=True)
class Opened:
    """A repository that can be used."""

    restic: Restic
    id: str
    format: int
    version: str
    """restic's own."""
    ignored: tuple[str, ...]
    """Keys of the Secret that restic does not get."""
    is_new: bool = False
    """It was made just now."""


@contextmanager
def opened(repository: Repository, *, initialise: bool = False) -> Iterator[Opened]:
    """Given a repository, and whether it may be made if there is none, yield it as it can be used;
    inside, SIGTERM ends restic in order. Raise RepositoryError if it cannot be used.
    """
    with ending_in_order():
        os.makedirs(repository.cache, exist_ok=True)
        environment = environment_of(repository, os.environ)
        restic = Restic(
            environment, upload_kib=repository.upload_kib, download_kib=repository.download_kib
        )
        version = version_of(
            restic.run("version", seconds=_SECONDS).check("asking its version").output
        )
        check_version(version)
        preflight(environment.repository, environment.ca)
        found = _look(restic, repository)
        if found is None:
            found = _missing(restic, repository, initialise=initialise)
        try:
            yield replace(found, version=shown(version), ignored=environment.ignored)
        except RepositoryError as error:
            if error.reason is Reason.LOCKED:
                error.more["locks"] = _locks(restic)
            if error.reason is Reason.NO_REPOSITORY:
                raise _vanished(found.id) from error  # it was there a moment ago
            raise


def _locks(restic: Restic) -> list[dict[str, Any]]:
    """Who keeps others out, as far as that is still known: the error stands in any case."""
    with suppress(RepositoryError):
        return [lock.to_json() for lock in read_locks(restic)]
    return []


def _look(restic: Restic, repository: Repository) -> Opened | None:
    """The repository as its config says it, None if there is none."""
    done = restic.run(NO_LOCK, "cat", "config", seconds=_SECONDS)
    if done.code == NO_REPOSITORY and not done.late:
        if judge(done.code, done.said).reason is Reason.NO_REPOSITORY:
            return None
        raise done.failure("opening the repository")
    config = json.loads(done.check("opening the repository").output)
    found = Opened(restic, str(config["id"]), int(config["version"]), "", ())
    if repository.id and found.id != repository.id:
        raise RepositoryError(
            Reason.REPLACED,
            f"the repository there is {found.id[:8]}, not {repository.id[:8]}, which is known by"
            " this name: somebody has made another one, or RESTIC_REPOSITORY was changed",
            found=found.id,
        )
    return found


def _missing(restic: Restic, repository: Repository, *, initialise: bool) -> Opened:
    if repository.id:
        raise _vanished(repository.id)
    environment = restic.environment
    if lacks_bucket(environment.repository, environment.ca):
        raise RepositoryError(
            Reason.BUCKET_MISSING,
            "the bucket is missing: create it, or correct RESTIC_REPOSITORY",
        )
    if not initialise:
        raise RepositoryError(
            Reason.NO_REPOSITORY,
            "there is no repository at that place: correct RESTIC_REPOSITORY, or allow that it is"
            " made (spec.initialise)",
        )
    done = restic.run("init", seconds=_INITIALISING)
    # Whatever init says: another one may have made it meanwhile, and only what is there counts.
    found = _look(restic, repository)
    if found is None:
        done.check("making the repository")
        raise RepositoryError(Reason.FAILED, "a repository was made, and is not there")
    return replace(found, is_new=done.code == 0)


def _vanished(one: str) -> RepositoryError:
    return RepositoryError(
        Reason.VANISHED,
        f"the repository {one[:8]} is not there any more: somebody has deleted it, or"
        " RESTIC_REPOSITORY was changed; it is not made again",
    )
