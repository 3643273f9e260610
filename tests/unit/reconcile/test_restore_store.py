"""A third store is restored from by being handed to the reconciler, and by nothing else."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from tests.support.clock import VirtualClock
from tests.support.memory_restores import Cluster, Died, MemoryStore

from backstay.api.restore_status import RestorePhase, RestoreTarget
from backstay.domain import labels, objects
from backstay.domain.errors import Conflict, UserError
from backstay.domain.objects import Obj
from backstay.domain.restore.acknowledgement import Acknowledged
from backstay.domain.restore.sights import Fill, Rest, TargetSeen
from backstay.domain.restore.wishes import Part
from backstay.engine.queue import Key
from backstay.kube.events import EventPoster
from backstay.kube.resources import BACKUP, PERSISTENT_VOLUME_CLAIM, RESTORE_REQUEST
from backstay.reconcile import keys
from backstay.reconcile.restore import RestoreReconciler
from backstay.settings import RollingRoots
from backstay.targets.new_claim import NewClaimTarget
from backstay.targets.registry import targets_of
from backstay.targets.turns import RestoreTurns

HOME = "shop"
KEY = keys.restore(HOME, "back")
CLAIM: Obj = {"claims": [{"claim": "data", "to": {"newClaim": {"name": "new"}}}]}
TWO: Obj = {
    "claims": [{"claim": c, "to": {"newClaim": {"name": f"{c}-new"}}} for c in ("data", "logs")]
}
DIRECTORY: Obj = {"directory": {"claim": {"name": "there", "subPath": "back"}}}


class Stage:
    """A request in a cluster in memory, restored from a store in memory."""

    def __init__(self, store: MemoryStore, **targets: Any) -> None:
        self.client, self.store = Cluster(), store
        self.enqueued: list[Key] = []
        clock = VirtualClock()
        known = {**targets_of(self.client, RollingRoots())}
        known |= {RestoreTarget(name): make(self.client) for name, make in targets.items()}
        self.targets = known
        self.reconciler = RestoreReconciler(
            self.client,
            EventPoster(self.client, clock),
            clock,
            self.enqueued.append,
            stores={"Memory": store},
            targets=known,
            turns=RestoreTurns(self.client, HOME),
        )

    async def ask(self, spec: Obj, **source: Any) -> None:
        for name in ("there", "b"):
            kind = BACKUP if name == "b" else PERSISTENT_VOLUME_CLAIM
            body: Obj = {"metadata": {"name": name, "namespace": HOME}, "spec": {"policy": "p"}}
            await self.client.create(kind, body)
        meta = {"name": "back", "namespace": HOME, "generation": 1}
        source = source or {"backup": "b", "store": "Memory"}
        await self.client.create(
            RESTORE_REQUEST, {"metadata": meta, "spec": {"from": source, **spec}}
        )

    async def look(self, times: int = 1) -> Obj:
        """Look at the request; return its status."""
        for _ in range(times):
            await self.reconciler.reconcile(KEY)
        found = await self.client.get(RESTORE_REQUEST, "back", HOME)
        status: Obj = found["status"]
        return status

    async def claim(self, name: str = "new") -> Obj | None:
        return await self.client.find(PERSISTENT_VOLUME_CLAIM, name, HOME)


@pytest.mark.parametrize(("spec", "into"), [(CLAIM, "new"), (DIRECTORY, "there/back")])
async def test_a_point_in_memory_is_held_filled_into_its_target_and_released(
    spec: Obj, into: str
) -> None:
    stage = Stage(MemoryStore())
    await stage.ask(spec)

    status = await stage.look(4)
    assert (status["phase"], status["into"]) == ("Restoring", into)
    assert "half of it is there" in status["message"]
    (item,) = status["items"]
    assert (item["store"], item["ref"]) == ("Memory", "p1")
    stage.store.outcome = Fill(begun=True, done=True, says="3 entries")
    status = await stage.look(2)

    assert status["phase"] == "Completed", status
    assert status["message"].endswith("3 entries")
    assert stage.store.did == ["hold", "fill", "stop", "release"]
    assert not stage.store.held
    if spec is CLAIM:
        made = await stage.claim()
        assert made is not None
        assert labels.RESTORING not in objects.labels(made), "it is the user's from now on"


async def test_a_killed_fill_in_memory_is_discarded_before_the_request_fails() -> None:
    stage = Stage(MemoryStore())
    await stage.ask(DIRECTORY)
    await stage.look(4)
    stage.store.outcome = Fill(begun=True, failed="it was killed", rest=Rest())

    noted = await stage.look()
    assert (noted["phase"], noted["items"][0]["failed"]) == ("Restoring", "it was killed")
    status = await stage.look(2)

    assert (status["phase"], status["message"]) == ("Failed", "it was killed")
    assert stage.store.did == ["hold", "fill", "discard", "stop", "release"]


async def test_one_failure_ends_all_items_and_leaves_no_claim_without_a_volume() -> None:
    stage = Stage(MemoryStore())
    await stage.ask(TWO)
    await stage.look(4)
    assert await stage.claim("logs-new") is not None
    stage.store.outcome = Fill(begun=True, failed="no memory is left")

    status = await stage.look(2)

    assert status["phase"] == "Failed"
    assert "claim data-new: no memory is left" in status["message"]
    assert [await stage.claim(name) for name in ("data-new", "logs-new")] == [None, None]
    assert stage.store.did[-4:] == ["stop", "release"] * 2


@pytest.mark.parametrize("ends", ["Completed", "Failed"])
@pytest.mark.parametrize("in_time", [False, True], ids=["after", "before"])
@pytest.mark.parametrize("kill", range(1, 15))
async def test_a_process_that_dies_at_any_write_is_followed_by_one_that_ends_it_alike(
    kill: int, in_time: bool, ends: str
) -> None:
    stage = Stage(MemoryStore())
    await stage.ask(TWO)
    stage.client.in_time, stage.client.dies_at = in_time, stage.client.writes + kill
    failed = "no memory is left" if ends == "Failed" else ""
    stage.store.outcome = Fill(begun=True, done=not failed, failed=failed, says="3 entries")

    for _ in range(12):
        with suppress(Died, Conflict):
            await stage.look()

    status = (await stage.client.get(RESTORE_REQUEST, "back", HOME))["status"]
    assert status["phase"] == ends, status
    assert not stage.store.held
    claims = [await stage.claim(name) for name in ("data-new", "logs-new")]
    if ends == "Failed":
        assert claims == [None, None]
    else:
        assert all(claim and labels.RESTORING not in objects.labels(claim) for claim in claims)


async def test_a_point_that_is_not_there_is_refused() -> None:
    stage = Stage(MemoryStore(has_point=False))
    await stage.ask(CLAIM)

    status = await stage.look()

    assert (status["phase"], status["conditions"][0]["reason"]) == ("Refused", "NoPoint")
    assert (stage.store.did, await stage.claim()) == ([], None)


async def test_a_store_may_be_named_by_the_source_itself() -> None:
    stage = Stage(MemoryStore())
    await stage.ask(CLAIM, volumeSnapshot="as-if-it-were-one")

    assert (await stage.look())["items"][0]["store"] == "Memory"


async def test_a_store_that_is_none_is_refused_with_those_that_are() -> None:
    stage = Stage(MemoryStore())
    await stage.ask(CLAIM, backup="b", store="Rolling")

    status = await stage.look()

    assert status["conditions"][0]["reason"] == "StoreNotFound"
    assert "name one of Memory" in status["message"]


class Fickle(NewClaimTarget):
    """A target that is in use as soon as somebody has looked twice."""

    looks = 0

    async def check(self, part: Part, said: Acknowledged) -> str:
        self.looks += 1
        if self.looks > 2:
            raise UserError("InUse", "it is in use")
        return await super().check(part, said)


async def test_a_target_is_looked_at_again_right_before_it_is_filled() -> None:
    stage = Stage(MemoryStore(), NewClaim=Fickle)
    await stage.ask(CLAIM)
    await stage.look(2)

    with pytest.raises(UserError, match="in use"):
        await stage.look()

    assert stage.store.did == ["hold"]
    status = (await stage.client.get(RESTORE_REQUEST, "back", HOME))["status"]
    assert status["message"] == "it is in use"
    assert RestorePhase(status["phase"]) is RestorePhase.RESTORING


class Slow(NewClaimTarget):
    """A target whose hand-over takes several looks, and may be spoilt by then."""

    handed_over, spoilt = 0, ""
    undone = False

    async def see(self, part: Part) -> TargetSeen:
        seen = await super().see(part)
        under_way = part.item.verified is not None and self.handed_over < 3
        waits = f"step {self.handed_over} of 3" if under_way else ""
        return replace(seen, committing=under_way, waits=waits, broken=self.spoilt)

    async def commit(self, part: Part) -> None:
        del part
        self.handed_over += 1

    async def undo(self, part: Part) -> None:
        del part
        self.undone = True


async def _in_hand(stage: Stage) -> Slow:
    """Let a request come to the hand-over of its target; return that."""
    await stage.ask(CLAIM)
    await stage.look(4)
    stage.store.outcome = Fill(begun=True, done=True, says="3 entries")
    status = await stage.look(2)
    assert (status["phase"], status["message"]) == ("Restoring", "claim new: step 1 of 3"), status
    target = stage.targets[RestoreTarget.NEW_CLAIM]
    assert isinstance(target, Slow)
    return target


async def test_a_hand_over_of_several_steps_is_taken_to_its_end() -> None:
    stage = Stage(MemoryStore(), NewClaim=Slow)
    target = await _in_hand(stage)

    status = await stage.look(2)

    assert (status["phase"], target.handed_over, target.undone) == ("Completed", 3, False)


async def test_a_hand_over_that_fails_is_undone_and_the_point_released() -> None:
    stage = Stage(MemoryStore(), NewClaim=Slow)
    target = await _in_hand(stage)
    target.spoilt = "somebody took its name"

    status = await stage.look(2)

    assert (status["phase"], target.undone) == ("Failed", True)
    assert "claim new: somebody took its name" in status["message"]
    assert not stage.store.held
