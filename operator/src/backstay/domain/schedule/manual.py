"""Runs that a person asks for by an annotation on the policy: one for each value, ever.

Invariant: the Backup is made before the status says so, and its name is a function of the policy
and the value: who dies in between finds it. While its record is there or not, the value stands in
the status, and asks for nothing any more.
"""

from __future__ import annotations

from backstay.api.common import changed
from backstay.api.policy_status import TOKEN_MAX, ManualRun, PolicyStatus
from backstay.domain import naming
from backstay.domain.schedule.policy_seen import Seen


def noted(seen: Seen, status: PolicyStatus) -> PolicyStatus:
    """Given what was seen of a policy, return its status with the run that it asks for, and with
    the last one that was Completed.
    """
    if is_asked(seen):
        backup = naming.manual_name(seen.name, seen.token)
        status = changed(status, manual=ManualRun(token=seen.token, backup=backup))
    if status.manual is not None and any(
        run.complete and (run.name, run.token) == (status.manual.backup, status.manual.token)
        for run in seen.runs
    ):
        status = changed(status, last_manual_run=status.manual.token)
    return status


def is_asked(seen: Seen) -> bool:
    """Given what was seen of a policy, return whether it asks for a run that was not made."""
    known = seen.status.manual.token if seen.status.manual is not None else None
    return bool(seen.token) and len(seen.token) <= TOKEN_MAX and seen.token != known


def refusal(seen: Seen) -> str:
    """Given what was seen of a policy, return why what it asks for is no run, "" if it is one."""
    if len(seen.token) <= TOKEN_MAX:
        return ""
    return (
        f"metadata.annotations[backstay.dev/run]: {len(seen.token)} characters are more than "
        f"{TOKEN_MAX}: no run is made; choose a shorter value"
    )
