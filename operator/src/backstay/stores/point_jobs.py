"""Look at the Job that makes a point, of whatever store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from backstay.api.progress import Progress
from backstay.domain.jobs import JobSeen
from backstay.domain.stores.making import Making
from backstay.steps.agent_jobs import AgentJobs
from backstay.stores.temporary import TemporaryClaims


async def look_at_job(
    jobs: AgentJobs,
    temporary: TemporaryClaims | None,
    address: tuple[str, str],
    token: str,
    *,
    judge: Callable[[JobSeen], Awaitable[Making]],
    before: Callable[[], Awaitable[Making]],
    watch: Callable[[JobSeen], Awaitable[Progress | None]] | None = None,
) -> Making:
    """Given a Job's namespace and name, the work that it is, what reads temporary claims (None: it
    has none), what judges it once it has ended, what looks at what it needs before it is made, and
    what looks how far it has come (None: its agent does not say), return what is seen of it.
    """
    namespace, name = address
    job = await jobs.look(namespace, name, token)
    if not job.ours:
        return Making(problem=f"Job {namespace}/{name} was made by somebody else")
    if job.finished:
        return await judge(job)
    if job.started:
        return Making(job, progress=await watch(job) if watch is not None else None)
    if job.exists:
        words = job.message
        if job.stalled and temporary is not None:
            words = await temporary.waits_for(namespace, name, words)
        return Making(job, message=words)
    return await before()
