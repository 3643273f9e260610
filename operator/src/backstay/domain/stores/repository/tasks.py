"""The agent's tasks on a repository, as docs/design/0036-repository-agent.md has it: one Step each.

Invariant: a task is a function of what it is made from, so the name of a Job can be taken from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from backstay.api.repository import Access, Initialise, Maintenance, RepositorySpec
from backstay.domain.jobs import DumpWish, Step
from backstay.domain.stores.repository.choice import Want
from backstay.domain.stores.repository.places import CA, CACHE, REPOSITORY, SECRET

OPEN: Final = "repository-open"
LIST: Final = "repository-list"
FIND: Final = "repository-find"
BACKUP: Final = "repository-backup"
RESTORE: Final = "repository-restore"
MAINTAIN: Final = "repository-maintain"


@dataclass(frozen=True, slots=True)
class BackupWish:
    """What is to be stored, and as what."""

    run: str
    """What its snapshots are tagged with: this point of this run, and no other one."""
    attempt: int
    host: str
    tags: Sequence[str]
    root: str
    """The mounted directory."""
    path: str
    """What is stored, below it; "" is all."""
    record: Mapping[str, Any]
    taken: datetime | None = None
    """Of what moment the data is; None: of when it is read."""
    exclude: Sequence[str] = ()
    allow_unreadable: bool = False
    require_mount: bool = False
    minimum_percent: int = 0
    allow_shrunken: bool = False
    files: int | None = None
    """Files of the last good point; None: there is none, so that nothing is compared."""
    bytes: int | None = None
    dumps: Sequence[DumpWish] = ()


@dataclass(frozen=True, slots=True)
class RestoreWish:
    """What is to be restored, and where to."""

    snapshot: str
    """Its ID in full."""
    restore: str
    """Names the restore, which goes on with what a killed try of it has left."""
    root: str
    """The mounted directory."""
    path: str
    """The directory below it that is filled; "" is all."""
    source: str = ""
    """The directory of the snapshot that becomes the target's root."""
    include: Sequence[str] = ()
    delete: bool = False
    """Remove what the snapshot does not have."""
    overwrite: bool = False
    """The target need not be empty."""
    acknowledge: Sequence[str] = ()
    """What a person said that may be passed over."""


@dataclass(frozen=True, slots=True)
class Check:
    """Check the repository, and read one of so many parts of its data; 0 of 0 reads none."""

    part: int
    of: int


@dataclass(frozen=True, slots=True)
class MaintainWish:
    """What maintenance is to do, in this order: unlock, forget, prune, check."""

    forget: Sequence[str] = ()
    """IDs in full."""
    prune: bool = False
    check: Check | None = None
    unlock: Sequence[str] = ()
    """IDs of the locks that go if there are no others."""
    unlock_all: bool = False


def repository_json(spec: RepositorySpec, id: str) -> dict[str, Any]:
    """Given a repository's spec and its ID ("": not known yet), return how the agent finds it."""
    return {
        "secret": str(SECRET),
        "pathSuffix": spec.path_suffix or "",
        "local": _local(spec),
        "ca": str(CA) if spec.custom_ca is not None else "",
        "cache": str(CACHE),
        "id": id,
        "readOnly": spec.access is Access.READ_ONLY,
        "uploadKiB": spec.limits.upload_kib,
        "downloadKiB": spec.limits.download_kib,
    }


def _local(spec: RepositorySpec) -> str:
    if spec.claim is None:
        return ""
    return str(REPOSITORY / (spec.claim.sub_path or ""))


def may_initialise(spec: RepositorySpec, id: str) -> bool:
    """Given a repository's spec and its ID, return whether one may be made where there is none: one
    that was there is never made again.
    """
    wanted = spec.initialise is Initialise.IF_MISSING
    return wanted and not id and spec.access is not Access.READ_ONLY


def open_(spec: RepositorySpec, id: str) -> Step:
    """Given a repository's spec and its ID, return the step that looks whether it can be used."""
    return _step(OPEN, spec, id, {"initialise": may_initialise(spec, id)})


def list_(spec: RepositorySpec, id: str) -> Step:
    """Given a repository's spec and its ID, return the step that lists its snapshots."""
    return _step(LIST, spec, id, {})


def find(spec: RepositorySpec, id: str, wants: Sequence[Want], acknowledge: Sequence[str]) -> Step:
    """Given a repository, its ID, what restores are of and what a person acknowledged, return the
    step that finds the snapshots.
    """
    task = {"wants": [_want(want) for want in wants], "acknowledge": sorted(acknowledge)}
    return _step(FIND, spec, id, task)


def _want(want: Want) -> dict[str, Any]:
    found = {
        "namespace": want.namespace,
        "claim": want.claim,
        "field": want.field,
        "snapshot": want.snapshot,
        "asOf": want.as_of.isoformat() if want.as_of is not None else None,
        "previous": want.previous,
        "host": want.host,
        "path": want.path,
    }
    return {key: value for key, value in found.items() if value}


def backup(spec: RepositorySpec, id: str, wish: BackupWish) -> Step:
    """Given a repository, its ID and what is to be stored, return the step that stores it."""
    task: dict[str, Any] = {
        "run": wish.run,
        "attempt": wish.attempt,
        "host": wish.host,
        "tags": list(wish.tags),
        "source": {
            "root": wish.root,
            "path": wish.path,
            "exclude": list(wish.exclude),
            "allowUnreadable": wish.allow_unreadable,
            "requireMount": wish.require_mount,
        },
        "shrink": {
            "percent": wish.minimum_percent,
            "allow": wish.allow_shrunken,
            **_known(files=wish.files, bytes=wish.bytes),
        },
        "dumps": [{"name": d.name, "path": d.path, "sha256": d.sha256} for d in wish.dumps],
        "record": dict(wish.record),
    }
    if wish.taken is not None:
        task["time"] = wish.taken.isoformat()
    return _step(BACKUP, spec, id, task)


def restore(spec: RepositorySpec, id: str, wish: RestoreWish) -> Step:
    """Given a repository, its ID and what is to be restored, return the step that restores it."""
    task = {
        "snapshot": wish.snapshot,
        "restore": wish.restore,
        "path": wish.source,
        "target": {"root": wish.root, "path": wish.path},
        "include": list(wish.include),
        "delete": wish.delete,
        "overwrite": wish.overwrite,
        "acknowledge": sorted(wish.acknowledge),
    }
    return _step(RESTORE, spec, id, task)


def maintain(spec: RepositorySpec, id: str, wish: MaintainWish) -> Step:
    """Given a repository, its ID and what is to be done, return the step that does it."""
    task: dict[str, Any] = {"forget": list(wish.forget), "unlockAll": wish.unlock_all}
    if wish.prune:
        task["prune"] = _limits_of_prune(spec.maintenance)
    if wish.check is not None:
        task["check"] = {"part": wish.check.part, "of": wish.check.of}
    if wish.unlock:
        task["unlock"] = list(wish.unlock)
    return _step(MAINTAIN, spec, id, task)


def _limits_of_prune(maintenance: Maintenance) -> dict[str, Any]:
    # restic's units are powers of 1024 as well, and have no `i`.
    limits: dict[str, Any] = {"maxUnused": _in_restics_units(maintenance.max_unused)}
    if maintenance.max_repack is not None:
        limits["maxRepack"] = str(maintenance.max_repack)
    return limits


def _in_restics_units(text: str) -> str:
    return text.removesuffix("i") if text[:1].isdigit() else text


def _known(**values: int | None) -> dict[str, int]:
    return {key: value for key, value in values.items() if value is not None}


def _step(verb: str, spec: RepositorySpec, id: str, task: Mapping[str, Any]) -> Step:
    whole = {"repository": repository_json(spec, id), **task}
    return Step(verb, json.dumps(whole, sort_keys=True, separators=(",", ":")))
