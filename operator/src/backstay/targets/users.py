"""Who uses a claim that is to be written over."""

from __future__ import annotations

from backstay.domain import objects
from backstay.domain.errors import UserError
from backstay.domain.objects import Obj
from backstay.domain.restore.acknowledgement import Acknowledged, Word
from backstay.domain.restore.wishes import Part
from backstay.domain.stores.copies.locations import running_users
from backstay.kube.client import Client
from backstay.kube.resources import POD
from backstay.steps.agent_jobs import OURS


async def check_users(client: Client, part: Part, said: Acknowledged, *, field: str) -> str:
    """Given an item that is written over a claim and the field that names that, return whom it
    waits for: Pods of our own Jobs, "" for nobody.

    Raise UserError if others use the claim: that is no wait, as nobody expects data to be
    overwritten whenever those happen to stop.
    """
    name = part.item.claim or ""
    pods = await client.list(POD, part.request.namespace)
    if users := running_users(name, (p for p in pods if not _is_ours(p))):
        in_use = UserError(
            "ClaimInUse",
            f"{field}: claim {name} is in use by Pod {', '.join(users[:3])}; "
            "stop what uses it, then create the request again",
        )
        said.pass_over(Word.CLAIM_IN_USE, in_use)
    agents = running_users(name, filter(_is_ours, pods))
    if not agents:
        return ""
    return f"waits for Pod {', '.join(agents[:3])}, whose Job ends by itself"


def _is_ours(pod: Obj) -> bool:
    return objects.labels(pod).items() >= OURS.items()
