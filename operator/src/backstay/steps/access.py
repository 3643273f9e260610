"""Ask before a run for what its plan needs: the operator's own rights, and the Secrets it names.

Invariants: a refusal rests on a question asked just now, never on a shared answer; what cannot be
asked is not refused here: the run itself finds out. A right that is taken away later costs a run's
attempt (reconcile/backup.py).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from backstay.api.plan import PlannedDump, RunPlan
from backstay.domain import objects
from backstay.domain.errors import NotFound, Refused, UserError
from backstay.domain.run.machine import FORBIDDEN, NO_SECRET, NO_SECRET_KEY
from backstay.kube import resources
from backstay.kube.client import Client
from backstay.kube.resources import Resource

RIGHTS: Final = timedelta(minutes=4)
"""How long a right that was there serves others: as long as Ready stands without a look."""


@dataclass(frozen=True, slots=True)
class Right:
    """To do one thing with one kind; in all namespaces where that is None."""

    verb: str
    resource: Resource
    namespace: str | None = None
    subresource: str = ""

    @property
    def what(self) -> str:
        """The resource as rules name it."""
        return "/".join(filter(None, (self.resource.plural, self.subresource)))


async def require(
    client: Client, namespace: str, plan: RunPlan, of_stores: Iterable[Right]
) -> None:
    """Given a plan of a policy in a namespace and the rights that its stores need for it, see that
    the operator may do what it needs and that the Secrets it names are there.

    Raise UserError, naming the Role that is missing or the Secret.
    """
    for right in (*of_stores, *_needed(namespace, plan)):
        if not await _may(client, right):
            where = f"in namespace {right.namespace}" if right.namespace else "in the cluster"
            raise UserError(
                FORBIDDEN,
                f"the operator may not {right.verb} {right.what} {where}: apply the ClusterRole "
                f"and the binding of this version again, or bind a {_role(right)} to the "
                "operator's service account",
            )
    # Read, and not asked for by a review: only that shows whether the Secret and its key are there.
    for dump in plan.dumps:
        await password_of(client, namespace, dump)


async def password_of(client: Client, namespace: str, dump: PlannedDump) -> str | None:
    """Given a dump, return what the Secret that it names holds, None if it names none.

    Raise UserError if that is not there, or may not be read.
    """
    wanted = dump.secret_ref()
    if wanted is None:
        return None
    what = f"Secret {namespace}/{wanted.name}"
    field = f"spec.dumps[{dump.name}].{dump.engine}.password.secretKeyRef"
    try:
        secret = await client.find(resources.SECRET, wanted.name, namespace)
    except Refused as error:
        right = Right("get", resources.SECRET, namespace)
        raise UserError(
            FORBIDDEN,
            f"{field}: the operator may not get {what}: bind a {_role(right, wanted.name)} to the "
            f"operator's service account there ({error.message})",
        ) from error
    if secret is None:
        raise UserError(NO_SECRET, f"{field}: there is no {what}")
    value = objects.dig(secret, "data", wanted.key)
    if value is None:
        raise UserError(NO_SECRET_KEY, f"{field}: {what} has no key {wanted.key}")
    # A password may have any bytes: they reach the script as they are (dumps/base.py).
    return base64.b64decode(value).decode("utf-8", "surrogateescape")


def _needed(namespace: str, plan: RunPlan) -> Iterable[Right]:
    if plan.dumps or plan.hooks:
        # A WebSocket opens with GET, which newer API servers count as create as well.
        yield Right("get", resources.POD, namespace, "exec")
        yield Right("create", resources.POD, namespace, "exec")


async def _may(client: Client, right: Right) -> bool:
    async def ask() -> bool:
        return await _ask(client, right)

    # A yes that is minutes old will do. A no is asked for again before it refuses: the Role may
    # have been made a moment after the policy.
    for keep in (RIGHTS, timedelta(0)):
        if await client.shared.read(right, ask, keep=keep):
            return True
    return False


async def _ask(client: Client, right: Right) -> bool:
    asked = {
        "group": right.resource.group,
        "resource": right.resource.plural,
        "subresource": right.subresource,
        "verb": right.verb,
        "namespace": right.namespace or "",
    }
    try:
        answer = await client.create(
            resources.SELF_SUBJECT_ACCESS_REVIEW, {"spec": {"resourceAttributes": asked}}
        )
    except (Refused, NotFound):
        return True  # All accounts may ask by default; where ours may not, nothing is known.
    return bool(objects.dig(answer, "status", "allowed", default=False))


def _role(right: Right, name: str = "") -> str:
    only = f", resourceNames: [{name}]" if name else ""
    kind = "Role" if right.namespace else "ClusterRole"
    group = right.resource.group or '""'
    rule = f"apiGroups: [{group}], resources: [{right.what}]{only}, verbs: [{right.verb}]"
    return f"{kind} with {{{rule}}}"
