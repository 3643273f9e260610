"""Locks of restic: which are of Pods of ours that are gone, and which are somebody else's.

Invariants: a lock is ours by the host name that our Pods have, which is made of the uid of the
BackupRepository and of the Job: another cluster has others. Locks are removed only when every one
of them is ours and its Pod is gone, as restic removes all or none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from backstay.api.common import Condition, changed, with_condition
from backstay.api.repository_status import LOCKS_MAX, LockStatus, RepositoryStatus
from backstay.domain import naming, objects
from backstay.domain.objects import Obj, dig
from backstay.domain.stores.copies.agent_result import AgentResult
from backstay.domain.stores.repository.reasons import Reason
from backstay.domain.stores.repository.work import Seen

LOCKED: Final = "Locked"
FOREIGN: Final = "ForeignLock"
FREE: Final = "Free"
_OVER: Final = frozenset({"Succeeded", "Failed"})
_NAMED: Final = 3


def read_locks(result: AgentResult) -> tuple[LockStatus, ...] | None:
    """Given an answer, return the locks that it names; None if it says nothing of them."""
    found = result.raw.get("locks")
    if not isinstance(found, list):
        return None
    # One more than is shown, so that nobody takes these for all of them.
    return tuple(_lock(raw) for raw in found[:LOCKS_MAX] if isinstance(raw, dict))


def _lock(raw: dict[str, Any]) -> LockStatus:
    pid = raw.get("pid")
    return LockStatus(
        id=str(raw.get("id", ""))[:64],
        host=str(raw.get("host") or "")[:253],
        pid=pid if isinstance(pid, int) and 0 <= pid < 2**31 else None,
        exclusive=bool(raw.get("exclusive")),
        time=str(raw["time"])[:64] if raw.get("time") else None,
    )


def is_ours(lock: LockStatus, uid: str) -> bool:
    """Given a lock and the uid of a BackupRepository, return whether a Pod of ours took it."""
    return lock.host.startswith(naming.mover_hosts(uid))


def hosts_alive(pods: Iterable[Obj]) -> frozenset[str]:
    """Given the Pods of a repository, return the host names of those that are not over. One on a
    node that is lost may be at work: it counts until it is deleted.
    """
    return frozenset(
        str(dig(pod, "spec", "hostname", default=objects.name(pod)))
        for pod in pods
        if dig(pod, "status", "phase") not in _OVER
    )


def stale(locks: Sequence[LockStatus], uid: str, alive: Collection[str]) -> tuple[str, ...]:
    """Given all locks, the uid of the BackupRepository and the hosts that may be alive, return the
    ids of the locks if every one is of a Pod of ours that is gone, else none.
    """
    if len(locks) >= LOCKS_MAX:
        return ()  # There may be more, of anybody.
    dead = [lock.id for lock in locks if is_ours(lock, uid) and lock.host not in alive]
    return tuple(dead) if len(dead) == len(locks) else ()


def with_locks(
    seen: Seen, status: RepositoryStatus, result: AgentResult | None
) -> RepositoryStatus:
    """Given a look, the status to be and the answer of a Job, return that status with the locks
    that the answer names, and with the condition that says whose is waited for.
    """
    found = read_locks(result) if result is not None else None
    if result is None or found is None:
        return status
    refused = result.reason == Reason.LOCKED
    others = [lock for lock in found if not is_ours(lock, seen.uid)]
    waited = [lock for lock in others if lock.exclusive or refused]
    return changed(status, locks=found, conditions=_conditions(seen, status, waited))


def _conditions(
    seen: Seen, status: RepositoryStatus, waited: Sequence[LockStatus]
) -> tuple[Condition, ...]:
    if not waited and all(c.type != LOCKED for c in status.conditions):
        return status.conditions
    message = "no lock of somebody else is waited for"
    if waited:
        named = "; ".join(map(_in_words, waited[:_NAMED]))
        more = f"; and {len(waited) - _NAMED} more" if len(waited) > _NAMED else ""
        message = (
            f"restic at work elsewhere has locked it: {named}{more}. What it keeps from its turn "
            "is tried again. If nothing of that runs any more, run: kubectl backstay repository "
            f"unlock {seen.name} -n {seen.namespace}"
        )
    return with_condition(
        status.conditions,
        type=LOCKED,
        ok=bool(waited),
        reason=FOREIGN if waited else FREE,
        message=message,
        generation=seen.generation,
        now=seen.now,
    )


def _in_words(lock: LockStatus) -> str:
    process = f", process {lock.pid}" if lock.pid is not None else ""
    since = f", last refreshed {lock.time}" if lock.time else ""
    kind = "exclusive lock" if lock.exclusive else "lock"
    return f"{kind} {lock.id[:8]} of host {lock.host or 'unknown'}{process}{since}"
