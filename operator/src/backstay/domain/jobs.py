"""What a Job of ours does and says: its steps and directories, pure readings of it and its Pods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backstay.domain import objects
from backstay.domain.objects import Obj, dig
from backstay.domain.silence import unstarted


@dataclass(frozen=True, slots=True)
class Step:
    """One command of the agent and its JSON document."""

    verb: str
    task: str


@dataclass(frozen=True, slots=True)
class Mount:
    """A directory that the agent sees: of the node, or a claim or a directory in one."""

    name: str
    at: str
    read_only: bool = False
    host_path: str | None = None
    claim: str | None = None
    sub_path: str | None = None
    fresh: bool = False
    """A claim that was made for this: its group may be set as the Job needs it."""


@dataclass(frozen=True, slots=True)
class DumpWish:
    """A dump that a point must have as it was taken."""

    name: str
    path: str
    """Below the source that the point is of."""
    sha256: str


@dataclass(frozen=True, slots=True)
class JobSeen:
    """One look at a Job. The default: there is none."""

    name: str = ""
    exists: bool = False
    ours: bool = True
    """False: the name is taken by a Job that was made for something else."""
    started: bool = False
    """A container of it runs or has run."""
    succeeded: bool = False
    failed: bool = False
    pod: str = ""
    """The newest Pod: its log ends with the result."""
    said: str = ""
    """The termination message of the newest Pod that has one."""
    message: str = ""
    """Why it failed, or what it waits for."""
    silent: bool = False
    """It has not started, and neither it nor its newest Pod says why: Events may."""
    stalled: bool = False
    """It has not started for longer than one takes to when all is well."""
    old: bool = False
    """It was made longer ago than one takes to start."""

    @property
    def finished(self) -> bool:
        """Whether nothing of it runs any more, nor ever will."""
        return self.succeeded or self.failed


def job_seen(job: Obj | None, pods: Sequence[Obj], *, ours: bool = True) -> JobSeen:
    """Given a Job as read (None: there is none) and its Pods, return what they say."""
    if job is None or dig(job, "metadata", "deletionTimestamp"):
        return JobSeen()
    newest_first = sorted(pods, key=_age, reverse=True)
    ended = {c.get("type"): c for c in dig(job, "status", "conditions", default=[]) if _is_true(c)}
    failure = ended.get("Failed")
    words = next((w for w in map(pod_waits_for, newest_first) if w), "")
    started = any(map(_started, pods)) or bool(ended)
    silent = not started and not words
    if silent:
        words = _silence(newest_first)
    if failure is not None:
        words = f"{failure.get('reason', '')}: {failure.get('message', '')}".strip(": ")
    return JobSeen(
        name=objects.name(job),
        exists=True,
        ours=ours,
        started=started,
        succeeded="Complete" in ended,
        failed=failure is not None,
        pod=objects.name(newest_first[0]) if newest_first else "",
        said=next((s for s in map(_said, newest_first) if s), ""),
        message=words,
        silent=silent,
    )


def _silence(newest_first: Sequence[Obj]) -> str:
    """Who has to act next for Pods that have not started, and do not say why."""
    if not newest_first:
        return "no Pod was made for it yet"
    if dig(newest_first[0], "status", "containerStatuses"):
        return f"its container is being made: see the Events of Pod {objects.name(newest_first[0])}"
    return unstarted(newest_first[0])


def _age(pod: Obj) -> tuple[str, str]:
    return str(dig(pod, "metadata", "creationTimestamp", default="")), objects.name(pod)


def _is_true(condition: Obj) -> bool:
    return condition.get("status") == "True"


def _started(pod: Obj) -> bool:
    return any(
        dig(c, "state", "running") is not None or dig(c, "state", "terminated") is not None
        for c in dig(pod, "status", "containerStatuses", default=[])
    )


def _said(pod: Obj) -> str:
    for container in dig(pod, "status", "containerStatuses", default=[]):
        message = dig(container, "state", "terminated", "message")
        if message:
            return str(message).strip()
    return ""


def pod_waits_for(pod: Obj) -> str:
    """Given a Pod, return what it says keeps it from starting, "" if it runs or says nothing."""
    for container in dig(pod, "status", "containerStatuses", default=[]):
        waiting = dig(container, "state", "waiting")
        if waiting and waiting.get("reason") not in (None, "", "ContainerCreating"):
            return f"{waiting['reason']}: {waiting.get('message', '')}".strip(": ")
    for condition in dig(pod, "status", "conditions", default=[]):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return str(condition.get("message", ""))
    return ""
