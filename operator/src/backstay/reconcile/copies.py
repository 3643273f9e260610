"""The pass over the rolling copies of one policy: retention, lists, scrubs, and what shows them.

Invariants: Backups are read before the RestoreRequests that use their points; a Job is deleted only
after all that it said was written down; one series that fails is reported and never blocks
another.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Final

from backstay.api.common import changed
from backstay.api.policy import PolicySpec
from backstay.api.policy_status import SHOWN_MAX
from backstay.api.rolling_status import CopiesStatus
from backstay.domain import objects
from backstay.domain.clock import Clock
from backstay.domain.errors import AlreadyExists, Transient, UserError
from backstay.domain.objects import Obj
from backstay.domain.records import rebuild
from backstay.domain.stores.copies import job_outcomes, upkeep
from backstay.domain.stores.copies import series as rolling_series
from backstay.domain.stores.copies.chores import Answer, Chore, Verb
from backstay.domain.stores.copies.job_outcomes import Answered
from backstay.domain.stores.copies.points import RollingPoint
from backstay.domain.stores.copies.seen import Seen, seen_of
from backstay.engine.queue import Key
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.resources import BACKUP, BACKUP_POLICY
from backstay.observe import metrics
from backstay.reconcile import keys, passes
from backstay.reconcile.gathering import read
from backstay.reconcile.runs import parse_policy_spec
from backstay.sources.registry import resolve
from backstay.steps.batch import Work
from backstay.steps.conditions import policy_status
from backstay.steps.status import write_status
from backstay.stores.copies.upkeep_jobs import UpkeepJobs

log = logging.getLogger(__name__)

POLL: Final = timedelta(seconds=3)
LATER: Final = timedelta(minutes=1)
"""Until the next look at what waits for a node."""


@dataclass(slots=True)
class _Outcome:
    """What the chores of a pass come to."""

    looks: dict[str, CopiesStatus]
    """By series, as the policy is to show them."""
    done: list[Chore] = field(default_factory=list)
    """Chores whose Jobs are not needed any more, once that is written down."""
    late: bool = False
    """Whether one waits for its node."""
    wrote: bool = False
    """Whether Backups or the policy show something else now, which retention rests on."""


class CopiesReconciler:
    """Carries the upkeep of one policy's rolling copies a step further at each call."""

    def __init__(
        self,
        client: Client,
        events: EventPoster,
        clock: Clock,
        enqueue: Callable[[Key], None],
        *,
        jobs: UpkeepJobs,
    ) -> None:
        self._client = client
        self._events = events
        self._clock = clock
        self._enqueue = enqueue
        self._jobs = jobs

    async def reconcile(self, key: Key) -> timedelta | None:
        """Given a policy's key, take the next step for each series of its copies."""
        try:
            seen = await self._gather(key.namespace, key.name)
        except UserError as error:
            # The policy's own look reports it in Ready.
            log.warning("%s: nothing is changed: %s", key, error.message)
            return None
        if seen.policy is None:
            metrics.forget_scrubbed(key.namespace, key.name)
        elif len(seen.kept) > SHOWN_MAX:
            more = len(seen.kept) - SHOWN_MAX
            log.warning("%s: nothing is done for %d series, as its status has no room", key, more)
        work = Work(self._client)
        # All at once: a chore that waits for its node holds up no other.
        came = await self._carry_out(key, seen, upkeep.look(seen).chores, work)
        # Before what failed is raised: what was written has its consequences all the same.
        if came.wrote:
            self._enqueue(keys.retention(key.namespace, key.name))
            self._enqueue(keys.policy(key.namespace, key.name))
        work.raise_failures(key)
        if work.follows:
            return POLL
        return LATER if came.late else None

    async def _carry_out(
        self, key: Key, seen: Seen, chores: Sequence[Chore], work: Work
    ) -> _Outcome:
        """Take each chore a step further as items of `work`, and write down what came of it."""
        looks = dict(seen.looks)
        came = _Outcome(looks)
        await work.do(*((c.kept.series.key, partial(self._do, seen, c, came)) for c in chores))
        # First: what is not shown any more has no figure.
        metrics.forget_scrubbed(key.namespace, key.name)
        for look in looks.values():
            metrics.on_scrubbed(key.namespace, key.name, look.source, look.rot)
        noted = True
        # Not as seen: what is known of a directory goes with its last record, too.
        if seen.policy is not None and looks != _reported(seen.policy):
            noted = await work.do((key.name, partial(self._note, seen.policy, looks)))
            # Backups may have been written although this lost a race: retention rests on them.
            came.wrote = came.wrote or noted
        # Only now: what a Job said and nobody has written down is read from it again.
        if noted:
            await work.do(*((c.kept.series.key, partial(self._forget, c)) for c in came.done))
        return came

    async def _gather(self, namespace: str, name: str) -> Seen:
        # Without contents: copies have none, and this is repeated every few seconds for hours.
        world = await read(self._client, (namespace, name))
        policy = world.policies.get((namespace, name))
        spec = parse_policy_spec(policy) if policy is not None else None
        planned = await self._planned(namespace, spec)
        brake = self._client.clock_brake()
        return seen_of(passes.seen(world, (namespace, name), self._clock.now(), brake), planned)

    async def _planned(
        self, namespace: str, spec: PolicySpec | None
    ) -> list[rolling_series.Planned]:
        """The directories that the policy names now; none while it cannot run as it stands."""
        if spec is None or spec.rolling is None:
            return []
        try:
            found = await resolve(self._client, namespace, spec.source)
        except UserError:
            return []  # The policy's own look reports it.
        return [(copy, spec.rolling) for copy in found.directories]

    async def _do(self, seen: Seen, chore: Chore, came: _Outcome) -> bool:
        """Run a chore a step further and note what comes of it; return whether to look again soon.

        What keeps a series from its chore is reported and is no failure: others have their own
        pace.
        """
        series = chore.kept.copy.series
        look = came.looks.get(series, CopiesStatus(source=series))
        try:
            return await self._advance(seen, chore, came, look)
        except (UserError, Transient) as error:
            # All else is raised: a Conflict is read again at once, a defect has its traceback.
            held_up = job_outcomes.look_held_up(look, chore, error.message)
            if held_up != look:
                log.warning("%s of %s: %s", chore.verb, chore.kept.series.key, error.message)
            came.looks[series] = held_up
            # A node comes back by itself; what a person has to mend can wait for the resync.
            came.late = came.late or isinstance(error, Transient)
            return False

    async def _advance(self, seen: Seen, chore: Chore, came: _Outcome, look: CopiesStatus) -> bool:
        answer = await self._jobs.run(chore)
        if answer is None:
            return True
        # Its Job stays, and with it this answer: made again at once, it would fail at once.
        if not answer.ok:
            log.warning("%s of %s: %s", chore.verb, chore.kept.series.key, answer.message)
            came.looks[look.source] = job_outcomes.look_after_failure(look, chore, answer, seen.now)
            return False
        answered = await self._take(chore, answer, came)
        # Before the looks are noted: who dies in between finds the Job, and the same answer.
        for run, status in answered.shown:
            await write_status(self._client, BACKUP, run.obj, status)
            came.wrote = True
        for reason in chore.reasons:
            log.info("%s: %s %s", chore.kept.series.key, chore.verb, reason)
        if answered.again and seen.policy is None:
            # Nowhere to note that a list is needed: the Job stays a while, and with it the plan.
            return False
        came.looks[look.source] = job_outcomes.look_after(look, chore, answer, answered, seen.now)
        # Not deleted yet: what it said is not on the policy before all chores are done.
        came.done.append(chore)
        return True

    async def _forget(self, chore: Chore) -> bool:
        await self._jobs.forget(chore)
        return True

    async def _take(self, chore: Chore, answer: Answer, came: _Outcome) -> Answered:
        """What the Backups are to show after a Job has done its work."""
        kept, outcomes = chore.kept, answer.result.outcomes if answer.result else {}
        match chore.verb:
            case Verb.RELABEL:
                return job_outcomes.after_relabel(kept, chore.changes, outcomes)
            case Verb.PRUNE:
                return job_outcomes.after_prune(kept, chore.changes, outcomes)
            case Verb.SCRUB:
                return Answered(())
        # Nothing is taken for gone on the strength of a list that nobody can read.
        if answer.points is None:
            raise Transient(f"list of {kept.series.key}: its log is lost")
        answered, foreign = job_outcomes.after_list(kept, answer.points)
        if chore.imports and foreign:
            came.wrote = True
            await self._import(chore, foreign)
        return answered

    async def _import(self, chore: Chore, foreign: Sequence[RollingPoint]) -> None:
        """Make a record for each point that has none, or end what a process that died has begun.

        Raise Conflict if a name was taken meanwhile: the next pass finds another.
        """
        series = chore.kept.series
        backups = await self._client.list(BACKUP, series.namespace)
        # One that was begun keeps no name: it is found by that name below, and ended.
        names = {objects.name(b) for b in backups if not rebuild.is_begun(b, series.policy)}
        for body, status in job_outcomes.imported(chore.kept, foreign, names):
            try:
                stored = await self._client.create(BACKUP, body)
            except AlreadyExists:
                # One that a process began here and did not end is ended; another's is not touched.
                stored = await self._client.get(BACKUP, objects.name(body), series.namespace)
                if not rebuild.is_begun(stored, series.policy):
                    raise
            await write_status(self._client, BACKUP, stored, status)
            log.info("record %s made from its artifacts", objects.name(body))

    async def _note(self, policy: Obj, looks: Mapping[str, CopiesStatus]) -> bool:
        """Write on the policy what was seen at the destinations."""
        copies = tuple(looks[series] for series in sorted(looks))
        status = changed(policy_status(policy), copies=copies)
        await write_status(self._client, BACKUP_POLICY, policy, status)
        return True


def _reported(policy: Obj) -> dict[str, CopiesStatus]:
    """What the policy's status says of looks at its copies, by series."""
    return {look.source: look for look in policy_status(policy).copies}
