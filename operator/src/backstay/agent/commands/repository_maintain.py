"""The verb repository-maintain: unlock, forget, prune, check, in this order.

Invariants: what is forgotten is named by its full id, never chosen by restic; it is forgotten when
a list does not show it, whatever restic ended with: of an unknown id it says nothing, and without
the right to delete it may end with 0. What was done stays in the answer when something after it
fails.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from backstay.agent.restic.engine import RETRY_LOCK, Done, Restic
from backstay.agent.restic.locks import lock_ids, read_locks
from backstay.agent.restic.opening import opened
from backstay.agent.restic.repository import Repository
from backstay.agent.restic.snapshots import read_snapshots
from backstay.agent.results import answer
from backstay.agent.tasks import Fields
from backstay.domain.stores.repository.exits import FAILED
from backstay.domain.stores.repository.failures import RepositoryError
from backstay.domain.stores.repository.reasons import Reason

MOST: Final = 1000
"""IDs of one task: their words have to fit into arguments."""
_UNLOCKING: Final = 120.0
_FORGETTING: Final = 1800.0
_LONG: Final = 6 * 3600.0
"""Seconds of a prune or a check: what takes longer is for limits to make shorter."""
_ID: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_LIMIT: Final = re.compile(r"unlimited|[0-9]{1,18}[%KMGT]?", re.ASCII)
_FREED: Final = re.compile(r"^total prune:.*/ ([0-9.]+) ([KMGTP]?)i?B$", re.MULTILINE)
_UNITS: Final = {unit: 1024**power for power, unit in enumerate(("", "K", "M", "G", "T", "P"))}
_DAMAGE: Final = "repository contains errors"
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class MaintainTask:
    """What `repository-maintain` is asked for."""

    repository: Repository
    forget: tuple[str, ...]
    prune: tuple[str, ...] | None
    """restic's options; None: it is not asked for."""
    check: tuple[str, ...] | None
    unlock: tuple[str, ...]
    unlock_all: bool

    @classmethod
    def read(cls, task: Fields) -> MaintainTask:
        """Given a task, return it. Raise DataError naming the field that is wrong."""
        forget, unlock = _ids(task, "forget"), _ids(task, "unlock")
        return cls(
            repository=Repository.read(task),
            forget=forget,
            prune=_prune_options(task.child("prune")) if task.has("prune") else None,
            check=_check_options(task.child("check")) if task.has("check") else None,
            unlock=unlock,
            unlock_all=task.flag("unlockAll"),
        )


def _ids(task: Fields, key: str) -> tuple[str, ...]:
    found = task.texts(key)
    if len(found) > MOST or not all(map(_ID.fullmatch, found)):
        raise task.fail(key, f"expected at most {MOST} ids in full, 64 hexadecimal digits each")
    return found


def _prune_options(task: Fields) -> tuple[str, ...]:
    words: list[str] = []
    for key, option in (("maxUnused", "--max-unused"), ("maxRepack", "--max-repack-size")):
        limit = task.text(key, "")
        if limit and not _LIMIT.fullmatch(limit):
            raise task.fail(key, "expected restic's: a number with K, M, G, T or %, or unlimited")
        words += [option, limit] if limit else []
    return tuple(words)


def _check_options(task: Fields) -> tuple[str, ...]:
    part, of = task.number("part", 0), task.number("of", 0)
    if of == 0:
        return ()
    if not 1 <= part <= of:
        raise task.fail("part", f"expected 1 to {of}")
    return (f"--read-data-subset={part}/{of}",)


@dataclass(slots=True)
class _Work:
    """What was done so far."""

    restic: Restic
    task: MaintainTask
    so_far: dict[str, Any] = field(
        default_factory=lambda: {
            "unlocked": 0,
            "forgotten": 0,
            "left": 0,
            "pruned": False,
            "freed": None,
            "checked": False,
            "damaged": False,
        }
    )

    def steps(self) -> list[Callable[[], None]]:
        """What the task asks for."""
        task = self.task
        wanted = (
            (bool(task.unlock or task.unlock_all), self.unlock),
            (bool(task.forget), self.forget),
            (task.prune is not None, self.prune),
            (task.check is not None, self.check),
        )
        return [step for asked, step in wanted if asked]

    def unlock(self) -> None:
        """Remove the locks: all where a person asks for it, else only while there are no others."""
        found = lock_ids(self.restic)
        if not self.task.unlock_all and set(found) != set(self.task.unlock):
            if not found:
                return
            raise RepositoryError(
                Reason.LOCKED,
                f"the repository has other locks than those that were judged: {_few(found)}",
            )
        # It names none: it is asked for at once after the look, and while no mover of ours runs.
        words = ("unlock", "--remove-all")
        self.restic.run(*words, seconds=_UNLOCKING).check("removing the locks")
        self.so_far["unlocked"] = len(found)

    def forget(self) -> None:
        """Forget snapshots, and say of each whether a list shows it still."""
        done = self.restic.run(*RETRY_LOCK, "forget", *self.task.forget, seconds=_FORGETTING)
        # Whatever it ended with, some may be gone: what is there decides.
        there = read_snapshots(self.restic)
        # One that cannot be read is there, and nobody knows what it was called before.
        names = {n for s in there.snapshots for n in (s.id, s.original)} | set(there.damaged)
        left = [one for one in self.task.forget if one in names]
        kept = set(left)
        for one in self.task.forget:
            line = {"id": one, "left": one in kept}
            sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
        self.so_far |= {"forgotten": len(self.task.forget) - len(left), "left": len(left)}
        if left:
            raise _not_removed(done, left)

    def prune(self) -> None:
        """Reclaim the space of what was forgotten."""
        words = ("prune", *(self.task.prune or ()))
        done = self.restic.run(*RETRY_LOCK, *words, seconds=_LONG).check("pruning")
        self.so_far |= {"pruned": True, "freed": _freed(done.output)}

    def check(self) -> None:
        """Check the structure, and read the part of the data that is asked for."""
        words = ("check", *(self.task.check or ()))
        done = self.restic.run(*RETRY_LOCK, *words, seconds=_LONG)
        if done.code == FAILED and not done.late and any(_DAMAGE in line for line in done.said):
            self.so_far |= {"checked": True, "damaged": True}
            raise RepositoryError(Reason.DAMAGED, f"the check found damage: {_damage(done.said)}")
        done.check("checking")
        self.so_far["checked"] = True


def repository_maintain(task: MaintainTask) -> dict[str, Any]:
    """Given a repository and what is to be done, do it; return the answer, after a line for each
    snapshot that was to be forgotten. Raise RepositoryError with what was done before, if something
    fails.
    """
    with opened(task.repository) as found:
        work = _Work(found.restic, task)
        trouble = _do(work)
        locks = [lock.to_json() for lock in read_locks(found.restic)]
        if trouble is not None:
            more = {**work.so_far, "locks": locks, **trouble.more}
            raise RepositoryError(trouble.reason, trouble.message, **more)
        return answer("Maintained", _in_words(work.so_far), **work.so_far, locks=locks)


def _do(work: _Work) -> RepositoryError | None:
    """Take the steps; return what the first one that failed failed with."""
    trouble: RepositoryError | None = None
    for step in work.steps():
        # Without the right to delete, prune has none either, and a check needs none.
        if trouble is not None and step == work.prune:
            continue
        try:
            step()
        except RepositoryError as error:
            if error.reason is Reason.DAMAGED or trouble is None:
                trouble = error
            if error.reason is not Reason.READ_ONLY:
                break
    return trouble


def _not_removed(done: Done, left: Sequence[str]) -> RepositoryError:
    """Why snapshots are there still. Only a refused deletion is taken for a missing right."""
    if done.code not in (0, 3) or done.late:
        failure = done.failure("forgetting snapshots")
        if failure.reason is not Reason.ACCESS_DENIED:
            return failure
    why = " ".join(done.said[-1].split())[:300] if done.said else "restic says nothing of it"
    return RepositoryError(
        Reason.READ_ONLY,
        f"{len(left)} snapshots were not removed ({_few(left)}): give the Secret the right to"
        f" delete, or name one that has it in maintenanceSecretRef ({why})",
    )


def _few(ids: Sequence[str]) -> str:
    shown = ", ".join(one[:8] for one in ids[:_SHOWN])
    return f"{shown} and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else shown


def _damage(said: Sequence[str]) -> str:
    found = [" ".join(line.split()) for line in said if _DAMAGE not in line]
    return "; ".join(found[:_SHOWN])[:900] or "restic does not say which"


def _freed(output: bytes) -> int | None:
    """Bytes that prune removed; None where it does not say."""
    match = _FREED.search(output.decode(errors="replace"))
    return int(float(match[1]) * _UNITS[match[2]]) if match else None


def _in_words(done: dict[str, Any]) -> str:
    words = [f"{done['unlocked']} locks removed"] if done["unlocked"] else []
    words += [f"{done['forgotten']} snapshots forgotten"] if done["forgotten"] else []
    words += ["pruned"] if done["pruned"] else []
    words += ["checked"] if done["checked"] else []
    return ", ".join(words) or "nothing was to be done"
