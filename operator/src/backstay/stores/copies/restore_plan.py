"""What a restore from a rolling copy comes to: which copy, and where it lies.

Invariants: a request restores only from its own namespace; from which disk it may read is asked of
what the administrator allows now; each refusal that a person may pass over names its word.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from backstay.api.backup import BackupSpec, BackupStatus
from backstay.api.common import changed
from backstay.api.rolling import PlannedCopy
from backstay.domain.errors import UserError
from backstay.domain.restore.acknowledgement import Acknowledged, Word
from backstay.domain.restore.wishes import Request, Wish
from backstay.domain.stores.copies.locations import Site
from backstay.domain.stores.copies.restore import Chosen, choose_copy
from backstay.domain.stores.copies.series import series_of
from backstay.domain.subject import parse_subject
from backstay.kube.client import Client
from backstay.steps.restores import backup_of
from backstay.stores.copies.take import Copying


@dataclass(frozen=True, slots=True)
class Plan:
    """What a wish comes to, as things stand."""

    chosen: Chosen
    site: Site
    node: str | None
    """The node that it is read on; None: wherever the claims can be had."""
    claim_uid: str
    """Of the claim that was copied, "" if it is of a node."""

    @property
    def hold_needed(self) -> bool:
        """Whether the point must be held first. One that was not found, or lies on another node
        than the passes over its series know, cannot be.
        """
        moved = self.site.series.kind == "hostPath" and self.site.node != self.site.series.holder
        return not (self.chosen.point.missing or moved)


async def make_plan(
    client: Client, copying: Copying, request: Request, wish: Wish, said: Acknowledged
) -> Plan:
    """Given a request, what it wants and what it acknowledges, find the copy.

    Raise UserError, naming field and remedy, if it is not to be had.
    """
    obj = await backup_of(client, request)
    backup = parse_subject("Backup", obj, BackupSpec, BackupStatus)
    chosen = choose_copy(backup.name, backup.status, wish, said)
    address, copy = (request.namespace, backup.spec.policy), chosen.copy
    if copy.node is None:
        claims = backup.status.plan.claims if backup.status.plan else ()
        uid = next((claim.uid for claim in claims if claim.name == copy.claim), "")
        site = copying.site(copy, chosen.rolling.settings, *address)
        return Plan(chosen, site, None, uid)
    at = _where_it_is(chosen, copy, wish, said)
    site = copying.site(at, chosen.rolling.settings, *address)
    # Its folder has the name of the node that it was copied on, wherever its disk is.
    site = replace(site, series=series_of(*address, copy))
    asked = wish.directory.node if wish.directory is not None else None
    return Plan(chosen, site, asked or copy.node, "")


def _where_it_is(chosen: Chosen, copy: PlannedCopy, wish: Wish, said: Acknowledged) -> PlannedCopy:
    """The copy of a node's directory, on the node that has its disk now."""
    node = (wish.directory.node if wish.directory is not None else None) or copy.node
    on_disk = chosen.rolling.settings.destination.host_path is not None
    if node == copy.node or not on_disk:
        return copy
    why = (
        f"spec.directory.node: the copies are on node {copy.node} and can only be restored "
        "there; leave node out"
    )
    said.pass_over(Word.COPIES_MOVED, UserError("CopiesElsewhere", why))
    return changed(copy, node=node)
