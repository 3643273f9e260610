"""What a point of a run is to be called in a repository, to carry and to have inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from backstay.api.dump_status import DumpStatus
from backstay.api.point import PointStatus
from backstay.api.repository_store import PlannedRepository
from backstay.api.rolling import PlannedCopy
from backstay.api.store import REPOSITORY
from backstay.domain import labels, objects
from backstay.domain.errors import Conflict
from backstay.domain.records.birth import born_with
from backstay.domain.records.dumps import recorded_dump
from backstay.domain.records.lifecycle import Run
from backstay.domain.records.record import ClaimRecord, Record
from backstay.domain.run.dump_sizes import smaller_by_form
from backstay.domain.run.status import plan_of
from backstay.domain.stores.dumps_inside import dump_wishes, dumps_inside
from backstay.domain.stores.repository.carried import Carried
from backstay.domain.stores.repository.names import host_of, run_of, tags_of
from backstay.domain.stores.repository.results import Asked, last_good
from backstay.domain.stores.repository.tasks import BackupWish
from backstay.domain.stores.temporary import Temporary
from backstay.kube.client import Client
from backstay.kube.resources import NAMESPACE, PERSISTENT_VOLUME_CLAIM
from backstay.sources.claims import recorded_claim
from backstay.steps.policy_runs import runs_of
from backstay.stores.repository.reading import Reading

_NO_CLAIM: Final = ClaimRecord("", "", "", None, (), "")


def asked_of(run: Run, planned: PlannedRepository, source: str) -> Asked:
    """Given a run, its uploads and the source of one, return what that is asked for."""
    born = born_with(run.spec, run.name, plan_of(run.status), (source, REPOSITORY))
    return Asked(
        source=source,
        repository=planned.settings.name,
        id=planned.id,
        labels={**born, labels.RESULT: labels.Result.GOOD.value},
        annotations={labels.RUN: run.uid},
    )


def copy_of(planned: PlannedRepository, source: str) -> PlannedCopy:
    """Given the uploads of a run and a source of them, return which directory that is."""
    return next(c for c in planned.copies if c.series == source)


class Wishes:
    """Makes the wishes for the uploads of runs."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def of(
        self,
        run: Run,
        planned: PlannedRepository,
        entry: PointStatus,
        read: Reading,
        temporary: Temporary | None,
    ) -> BackupWish:
        """Given a run, its uploads, the point that is next, what its Job reads and the temporary
        claim that this is (None: it is none), return what it is to be.

        Raise Conflict if the source went away.
        """
        settings = planned.settings
        source = copy_of(planned, entry.source)
        record = await self._record(run, entry, source, temporary)
        asked = asked_of(run, planned, entry.source)
        # What this store has of the source is compared, as another one leaves out other things.
        runs = await runs_of(self._client, run.namespace, run.spec.policy)
        last = last_good(runs, entry.source, planned.id)
        stored = last.stored if last else None
        return BackupWish(
            run=run_of(run.obj, source),
            attempt=run.status.attempt,
            host=host_of(run.namespace, source),
            tags=tags_of(record, source),
            root=read.mount.at,
            path=read.path,
            record=Carried(
                record, source.path, source.node or "", asked.labels, asked.annotations
            ).to_json(),
            taken=temporary.taken if temporary else read.taken,
            exclude=settings.exclude,
            allow_unreadable=settings.allow_unreadable,
            minimum_percent=settings.minimum_percent,
            allow_shrunken=objects.annotations(run.obj).get(labels.ALLOW_SHRUNKEN) == "true",
            files=stored.files if stored else None,
            bytes=_bytes_before(runs, last, dumps_inside(run.status, entry)),
            dumps=dump_wishes(run.status, entry, source.path),
        )

    async def _record(
        self, run: Run, entry: PointStatus, source: PlannedCopy, temporary: Temporary | None
    ) -> Record:
        attempt = run.status.attempt
        if temporary is not None and temporary.record is not None:
            # Of the snapshot: claim and dumps as they were then, maybe in an earlier attempt.
            return replace(temporary.record, attempt=attempt)
        claim = temporary.source if temporary else None
        if claim is None:
            claim = await self._claim(run.namespace, source)
        home = await self._client.get(NAMESPACE, run.namespace)
        return Record(
            policy=run.spec.policy,
            backup=run.name,
            slot=run.spec.scheduled_for or run.status.started_at or run.created,
            zone=plan_of(run.status).zone,
            attempt=attempt,
            namespace=run.namespace,
            namespace_uid=objects.uid(home),
            claim=claim,
            dumps=tuple(map(recorded_dump, dumps_inside(run.status, entry))),
        )

    async def _claim(self, namespace: str, source: PlannedCopy) -> ClaimRecord:
        if source.claim is None:
            return _NO_CLAIM
        found = await self._client.find(PERSISTENT_VOLUME_CLAIM, source.claim, namespace)
        if found is None:
            raise Conflict(f"claim {namespace}/{source.claim} went away")
        return recorded_claim(found)


def _bytes_before(
    runs: Sequence[Run], last: PointStatus | None, dumps: Sequence[DumpStatus]
) -> int | None:
    """What the source is held against: what it had, without what its dumps are smaller by because
    they are written in another way.
    """
    if last is None or last.bytes is None:
        return None
    then = next((run.status.dumps for run in runs if last in run.status.points), ())
    return last.bytes - smaller_by_form(then, dumps)
