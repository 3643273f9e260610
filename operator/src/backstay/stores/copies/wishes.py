"""What a copy of a run is to be called, to carry and to have inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from backstay.api.backup import BackupSpec, BackupStatus
from backstay.api.common import format_time
from backstay.api.policy import PolicySpec
from backstay.api.store import ROLLING
from backstay.domain import labels, naming, objects
from backstay.domain.errors import UserError
from backstay.domain.objects import Obj, dig
from backstay.domain.records.annotation import VERSION
from backstay.domain.records.birth import born_with
from backstay.domain.records.record import ClaimRecord
from backstay.domain.retention.from_spec import rules_of
from backstay.domain.retention.points import Rules
from backstay.domain.run.status import plan_of
from backstay.domain.stores.copies.agent_tasks import CopyWish
from backstay.domain.stores.copies.dates import Expected
from backstay.domain.stores.copies.incarnations import ids_of_claim
from backstay.domain.stores.copies.plan import COPIES
from backstay.domain.stores.copies.points import Series
from backstay.domain.stores.dumps_inside import dump_wishes
from backstay.domain.stores.temporary import Temporary
from backstay.domain.times import parse_time
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP_POLICY, NAMESPACE, PERSISTENT_VOLUME_CLAIM
from backstay.sources.claims import recorded_claim


class Wishes:
    """Makes the wishes for the copies of runs."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def of(
        self,
        backup: Obj,
        spec: BackupSpec,
        status: BackupStatus,
        series: Series,
        temporary: Temporary | None,
    ) -> CopyWish:
        """Given a run, the series whose copy is next and the temporary claim that it is made of
        (None: it is made of the source), return what the copy is to be.
        """
        plan, name, entry = plan_of(status), objects.name(backup), COPIES.current(status)
        if entry is None or entry.requested_at is None:
            raise ValueError("no copy was asked for")
        home = await self._client.get(NAMESPACE, objects.namespace(backup))
        return CopyWish(
            run=naming.run_name(name, objects.uid(backup)),
            labels=born_with(spec, name, plan, entry.key),
            annotations={labels.RUN: objects.uid(backup)},
            record=_record(spec, status, objects.uid(home)),
            rules=await self._rules(objects.namespace(backup), spec.policy),
            expected=self._expected(backup, status, entry.requested_at),
            identity=await self._identity(series, temporary),
            allow_shrunken=objects.annotations(backup).get(labels.ALLOW_SHRUNKEN) == "true",
            taken=temporary.taken if temporary else None,
            dumps=dump_wishes(status, entry, series.path),
        )

    def server_time(self, ours: datetime) -> datetime:
        """Given a time by our clock, return it by the API server's, as far as that is known."""
        return ours - (self._client.skew or timedelta(0))

    def _expected(self, backup: Obj, status: BackupStatus, requested: datetime) -> Expected:
        """When the copy that is next runs, by the API server's clock: not before its Backup was
        created, whatever our own clock said when it was asked for.
        """
        plan = plan_of(status).rolling
        if plan is None:
            raise ValueError("the run makes no rolling copies")
        created = parse_time(str(dig(backup, "metadata", "creationTimestamp")))
        asked = max(self.server_time(requested), created)
        started = asked + plan.settings.start_timeout
        return Expected(asked, started, started + plan.settings.max_duration)

    async def _identity(self, series: Series, temporary: Temporary | None) -> Sequence[str]:
        """What the claim of a series is, or was when what the copy is made of was; () of a
        directory, which the agent looks at.
        """
        if temporary is not None and temporary.source is not None:
            return _ids(temporary.source)
        if series.kind != "claim":
            return ()
        claim = await self._client.find(PERSISTENT_VOLUME_CLAIM, series.holder, series.namespace)
        # One that is missing: its Job will not start.
        return _ids(recorded_claim(claim)) if claim is not None else ()

    async def _rules(self, namespace: str, policy: str) -> Rules | None:
        """Retention as it stands now; None where the policy cannot be read: the next pass that can
        read it gives the tiers.
        """
        obj = await self._client.find(BACKUP_POLICY, policy, namespace)
        try:
            if obj is None:
                return None
            spec = PolicySpec.model_validate(obj.get("spec") or {})
            return rules_of(spec, ROLLING)
        except (UserError, ValueError):
            return None


def _ids(claim: ClaimRecord) -> Sequence[str]:
    return ids_of_claim(claim.uid, claim.volume or "", claim.continues or "")


def _record(spec: BackupSpec, status: BackupStatus, namespace_uid: str) -> Mapping[str, Any]:
    """What it takes to recreate the Backup from the point alone."""
    when = spec.scheduled_for or status.started_at
    return {
        "version": VERSION,
        "policy": spec.policy,
        "trigger": spec.trigger.value,
        "slot": format_time(when) if when else "",
        "zone": plan_of(status).zone,
        "attempt": status.attempt,
        "namespaceUid": namespace_uid,
    }
