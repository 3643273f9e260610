"""Look at the snapshots of a run; nothing here writes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from backstay.api.backup import BackupPhase
from backstay.api.dump_status import DumpState
from backstay.api.point import PointStatus
from backstay.api.store import SNAPSHOT
from backstay.domain import objects
from backstay.domain.errors import Transient, UserError
from backstay.domain.records.lifecycle import Run
from backstay.domain.run.sights import DumpSeen, DumpSight
from backstay.domain.run.status import dumps_on, pending
from backstay.domain.stores.snapshots.sights import Pair, PointSeen, Sight
from backstay.kube.client import Client
from backstay.kube.resources import PERSISTENT_VOLUME_CLAIM
from backstay.steps import containers
from backstay.steps.consistency import torn
from backstay.steps.dumps import Dumping
from backstay.stores.snapshots import objects as snapshots

JUST_NOW: Final = timedelta(seconds=10)


class SnapshotLooker:
    """Looks at the snapshots of one run at a time, and at the dumps inside."""

    def __init__(self, client: Client, dumping: Dumping) -> None:
        self._client = client
        self._dumping = dumping
        # In memory: a process that follows looks first at what this one may have asked for.
        self._asked: set[tuple[str, int, str]] = set()
        """By uid, attempt and claim: the snapshots that this process asked for."""

    def forget(self, uid: str) -> None:
        """Given the uid of a run that is over, forget it."""
        self._asked = {known for known in self._asked if known[0] != uid}

    async def look(self, subject: Run, now: datetime) -> Sight:
        """Given a run, return what is seen of this attempt's snapshots and, once one is
        taken, of its dumps.
        """
        # What was read again when a snapshot was taken holds: nothing writes to a snapshot.
        recheck = subject.status.phase is BackupPhase.SNAPSHOTTING
        points: dict[str, PointSeen] = {}
        rechecks: dict[str, DumpSeen] = {}
        pairs: dict[str, Pair] = {}
        for entry in pending(subject.status, SNAPSHOT):
            if not entry.ref:
                continue
            if recheck and self._is_first(subject, entry, now):
                points[entry.source] = PointSeen()
                continue
            pair = pairs[entry.source] = await snapshots.read_pair(
                self._client, subject.namespace, entry.ref
            )
            point = snapshots.seen(pair, run=subject.uid)
            # Only where there is no snapshot: one that was taken outlives its claim.
            if not point.exists and await self._claim_gone(subject, entry.source):
                point = PointSeen(claim_gone=True)
            points[entry.source] = point
            # After the snapshot was seen taken: a dump that is unchanged now was so inside it.
            if recheck and point.taken and entry.taken_at is None:
                rechecks |= await self._recheck(subject, entry.source)
        plan, why = subject.status.plan, ""
        # At the snapshot, not only in the plan: a pod may have been started since.
        if recheck and plan is not None and any(p.taken for p in points.values()):
            why = await torn(self._client, subject.namespace, plan)
        return Sight(points, rechecks, why, pairs)

    def _is_first(self, subject: Run, entry: PointStatus, now: datetime) -> bool:
        """Whether a snapshot was written down just now, so there can be none but by a process
        that died since: to ask for it finds that as well, and is to be done anyway.
        """
        asked, plan = (subject.uid, entry.attempt, entry.source), subject.status.plan
        # With hooks it is looked at first: what they hold is frozen, and time is short.
        if plan is None or plan.hooks or asked in self._asked:
            return False
        # Once for each: from then on there may be one, and how it stands must be seen.
        self._asked.add(asked)
        return now - (entry.requested_at or now) < min(JUST_NOW, plan.take_timeout)

    async def _claim_gone(self, subject: Run, name: str) -> bool:
        """Whether the claim of the plan is not there any more, or is another of that name."""
        plan = subject.status.plan
        claim = await self._client.find(PERSISTENT_VOLUME_CLAIM, name, subject.namespace)
        planned = {c.name: c.uid for c in plan.claims} if plan else {}
        return claim is None or objects.uid(claim) != planned.get(name)

    async def _recheck(self, subject: Run, claim: str) -> dict[str, DumpSeen]:
        """Read the results of a claim's dumps once more, where they ran or in whatever pod has
        the claim now. A pod with another claim, such as a replica's, says nothing about them.
        """
        status = subject.status
        plan = status.plan
        found: dict[str, DumpSeen] = {}
        for entry in dumps_on(status, claim):
            dump = next(d for d in plan.dumps if d.name == entry.name) if plan else None
            # One that failed has failed its points already: there is nothing to compare with.
            if dump is None or plan is None or entry.state is not DumpState.DONE:
                continue
            try:
                place = await containers.find_place(
                    self._client,
                    subject.namespace,
                    dump,
                    [entry.claim],
                    prefer=entry.pod_uid,
                )
            except (UserError, Transient) as error:
                # No failure of the look: the other points go on, and takeTimeout ends this wait.
                found[dump.name] = DumpSeen(DumpSight.UNREACHABLE, message=error.message)
                continue
            found[dump.name] = await self._dumping.look(
                subject.namespace, subject.uid, dump, place, status.attempt
            )
        return found
