"""What a policy and its run cost the API server, request by request."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from tests.support.dumping_cluster import make_ready, take
from tests.support.operated import Operated
from tests.support.schedules import (
    MovedClock,
    make_class,
    make_policies,
    make_snapshot_class,
    make_source,
    next_hour,
    policy_body,
)

from backstay.domain import labels, objects
from backstay.domain.objects import Obj, dig
from backstay.domain.stores.snapshots.orphans import orphans
from backstay.engine.queue import Key
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.login import Login
from backstay.kube.resources import (
    BACKUP,
    BACKUP_POLICY,
    NAMESPACE,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
)
from backstay.reconcile import keys

BUSY = 429
"""A server that was just started asks to try again, once for each kind."""
SHARED = {
    "list volumesnapshotclasses": 1,
    "get persistentvolumes": 1,
    "create selfsubjectaccessreviews": 3,
}
"""What the first look of a process reads, and others do without."""
LOOK = {"get backuppolicies": 1, "list backups": 1, "list volumesnapshots": 1}


class Rig(Operated):
    """An operator that does one key at a time, on a clock of its own; its requests are counted."""

    def __init__(self, client: Client, access: Login, clock: MovedClock, namespace: str) -> None:
        super().__init__(client, access, clock, namespace)
        self.requests: Counter[str] = Counter()

    def on_request(self, verb: str, plural: str, status: int, _seconds: float) -> None:
        if status != BUSY:
            self.requests[f"{verb} {plural}"] += 1

    async def cost_of(self, key: Key) -> dict[str, int]:
        """Look at one key; return its requests, but for those for others that the server has."""
        self.asked.clear()
        self.requests.clear()
        await self.reconcile(key)
        return dict(self.requests)

    def policy(self, name: str = "shop") -> Key:
        return keys.policy(self.namespace, name)


@pytest.fixture
async def rig(client: Client, credentials: Login, namespace: str) -> AsyncIterator[Rig]:
    await make_snapshot_class(client)
    for claim in ("data", "more"):
        await make_source(client, namespace, claim)
    for left in await client.list(BACKUP):
        # One that waits would report the time that passes, in a request that counts here.
        await client.delete(
            BACKUP, objects.name(left), objects.namespace(left), uid=objects.uid(left)
        )
    counted: list[Rig] = []

    def count(verb: str, plural: str, status: int, seconds: float) -> None:
        counted[0].on_request(verb, plural, status, seconds)

    clock = MovedClock()
    # As if the API server's clock were moved as well: its client sees no skew.
    async with Client(credentials, SystemClock(), on_request=count) as watched:
        counted.append(Rig(watched, credentials, clock, namespace))
        bodies = [policy_body(namespace, "shop"), policy_body(namespace, "other", "more")]
        await make_policies(client, bodies)
        yield counted[0]


async def start(rig: Rig) -> Key:
    """Let the first slot of `shop` start; return its Backup."""
    await rig.cost_of(rig.policy())
    rig.clock.move_to(next_hour(rig.clock.now()) + timedelta(seconds=1))
    await rig.cost_of(rig.policy())
    (backup,) = [key for key in rig.asked if key.kind == keys.BACKUP]
    return backup


async def ask(rig: Rig) -> Key:
    """Let a run of `shop` go on until it has asked for its snapshot; return its Backup."""
    backup = await start(rig)
    for key in (backup, keys.ADMISSION, backup):
        await rig.cost_of(key)
    return backup


async def test_looks_share_what_they_have_in_common_and_look_for_claims_once(rig: Rig) -> None:
    found = {"get persistentvolumeclaims": 1}
    reported = {"patch backuppolicies": 1, "create events": 1}

    assert await rig.cost_of(rig.policy()) == LOOK | SHARED | found | reported
    assert await rig.cost_of(rig.policy()) == LOOK
    other = await rig.cost_of(rig.policy("other"))
    assert other == LOOK | found | reported | {"get persistentvolumes": 1}


async def test_a_start_is_left_to_the_run_to_plan(rig: Rig) -> None:
    await rig.cost_of(rig.policy())
    rig.clock.move_to(next_hour(rig.clock.now()) + timedelta(seconds=1))

    cost = await rig.cost_of(rig.policy())

    assert cost == LOOK | {"create backups": 1, "patch backuppolicies": 1}


async def test_a_run_costs_eleven_requests_from_its_start_to_its_snapshot(rig: Rig) -> None:
    backup = await start(rig)

    planned = await rig.cost_of(backup)
    asked = list(rig.asked)
    admitted = await rig.cost_of(keys.ADMISSION)
    admitted.pop("list backups")  # one for all runs, in pages
    admitted.pop("list restorerequests", None)  # only while other tests' restores are under way
    begun = list(rig.asked)
    snapshot_asked = await rig.cost_of(backup)

    assert planned == {
        "get backups": 1,
        "get backuppolicies": 1,
        "get persistentvolumeclaims": 1,
        "list pods": 1,  # shared by the runs of ten seconds that have one claim
        "patch backups": 1,
    }
    assert asked == [keys.ADMISSION]
    assert admitted == {"patch backups": 1, "create events": 1}
    assert begun == [backup]
    assert snapshot_asked == {
        "get backups": 1,
        "get persistentvolumeclaims": 1,
        "get namespaces": 1,  # once for a namespace
        "create volumesnapshots": 1,
    }


async def test_a_snapshot_that_is_ready_when_it_is_taken_ends_its_run_in_one_look(
    rig: Rig, client: Client
) -> None:
    backup = await ask(rig)
    (snapshot,) = await client.list(VOLUME_SNAPSHOT, rig.namespace)
    await take(client, rig.clock, snapshot)

    cost = await rig.cost_of(backup)

    assert cost == {
        "get backups": 1,
        "get volumesnapshots": 1,
        "get volumesnapshotcontents": 1,
        "get backuppolicies": 1,
        "list volumesnapshots": 1,
        "patch volumesnapshotcontents": 1,
        "patch volumesnapshots": 1,
        "patch backups": 1,
        "create events": 1,
    }
    assert rig.asked == [keys.ADMISSION, rig.policy(), keys.retention(rig.namespace, "shop")]
    found = await client.get(BACKUP, backup.name, rig.namespace)
    assert dig(found, "status", "phase") == "Completed"
    assert await rig.cost_of(rig.policy()) == LOOK | {"patch backuppolicies": 1}


async def test_the_pass_after_a_run_writes_its_record_and_nothing_onto_its_artifacts(
    rig: Rig, client: Client
) -> None:
    backup = await ask(rig)
    (snapshot,) = await client.list(VOLUME_SNAPSHOT, rig.namespace)
    await take(client, rig.clock, snapshot)
    await rig.cost_of(backup)

    cost = await rig.cost_of(keys.retention(rig.namespace, "shop"))

    assert {what: count for what, count in cost.items() if what.startswith("patch")} == {
        "patch backups": 1
    }


async def test_a_snapshot_that_is_taken_before_it_is_ready_costs_one_more_patch_of_its_content(
    rig: Rig, client: Client
) -> None:
    backup = await ask(rig)
    (snapshot,) = await client.list(VOLUME_SNAPSHOT, rig.namespace)
    await take(client, rig.clock, snapshot, ready=False, policy="Delete")

    waiting = await rig.cost_of(backup)

    (content,) = await contents(client, snapshot)
    assert waiting["patch volumesnapshotcontents"] == 1
    assert content["spec"]["deletionPolicy"] == "Retain"
    assert objects.labels(content)[labels.POLICY] == "shop"
    assert objects.labels(content)[labels.RESULT] == "pending"
    record = objects.annotations(snapshot)[labels.RECORD]
    assert objects.annotations(content)[labels.RECORD] == record
    assert "patch volumesnapshotcontents" not in await rig.cost_of(backup)

    # ready, and the rest is as for one that is ready when it is taken
    found = await client.get(VOLUME_SNAPSHOT, objects.name(snapshot), rig.namespace)
    await make_ready(client, found)
    ended = await rig.cost_of(backup)
    assert ended["patch volumesnapshotcontents"] == 1
    (content,) = await contents(client, snapshot)
    snapshot = await client.get(VOLUME_SNAPSHOT, objects.name(snapshot), rig.namespace)
    assert objects.labels(content) == objects.labels(snapshot)
    assert objects.labels(content)[labels.RESULT] == "good"
    after = await rig.cost_of(keys.retention(rig.namespace, "shop"))
    assert "patch volumesnapshotcontents" not in after


async def test_a_run_that_fails_leaves_its_content_labelled_as_failed(
    rig: Rig, client: Client
) -> None:
    backup = await ask(rig)
    (snapshot,) = await client.list(VOLUME_SNAPSHOT, rig.namespace)
    await take(client, rig.clock, snapshot, ready=False, policy="Delete")
    await rig.cost_of(backup)

    rig.clock.move_to(rig.clock.now() + timedelta(days=2))
    await rig.cost_of(backup)

    (content,) = await contents(client, snapshot)
    assert objects.labels(content)[labels.RESULT] == "failed"
    assert content["spec"]["deletionPolicy"] == "Retain"


async def test_what_is_lost_between_its_snapshot_and_its_verdict_is_found_as_an_orphan(
    rig: Rig, client: Client
) -> None:
    backup = await ask(rig)
    (snapshot,) = await client.list(VOLUME_SNAPSHOT, rig.namespace)
    await take(client, rig.clock, snapshot, ready=False, policy="Delete")
    await rig.cost_of(backup)
    name = objects.name(snapshot)
    await client.delete(VOLUME_SNAPSHOT, name, rig.namespace, uid=objects.uid(snapshot))

    namespaces = {objects.name(n): objects.uid(n) for n in await client.list(NAMESPACE)}
    (orphan,) = orphans(await contents(client, snapshot), [], namespaces)

    assert (orphan.claim, orphan.policy, orphan.result) == ("data", "shop", "pending")
    assert (orphan.deletion_policy, orphan.problem) == ("Retain", "")


async def contents(client: Client, snapshot: Obj) -> list[Obj]:
    found = await client.list(VOLUME_SNAPSHOT_CONTENT)
    uid = objects.uid(snapshot)
    return [c for c in found if dig(c, "spec", "volumeSnapshotRef", "uid") == uid]


async def test_a_process_that_follows_one_that_asked_finds_the_snapshot(
    rig: Rig, client: Client, credentials: Login
) -> None:
    backup = await ask(rig)
    async with Client(credentials, rig.clock) as fresh:
        next_one = Rig(fresh, credentials, rig.clock, rig.namespace)

        await next_one.cost_of(backup)
        await next_one.cost_of(backup)

    (snapshot,) = await client.list(VOLUME_SNAPSHOT, rig.namespace)
    found = await client.get(BACKUP, backup.name, rig.namespace)
    assert dig(found, "status", "phase") == "Snapshotting"
    assert dig(found, "status", "points")[0]["ref"] == objects.name(snapshot)


async def test_no_refusal_rests_on_a_look_at_classes_that_was_shared(
    rig: Rig, client: Client
) -> None:
    await rig.cost_of(rig.policy())
    found = await client.get(BACKUP_POLICY, "other", rig.namespace)
    wanted = {"resourceVersion": objects.version(found)}
    spec = {"snapshot": {"className": f"late-{rig.namespace}"}}
    await client.patch(BACKUP_POLICY, "other", rig.namespace, {"metadata": wanted, "spec": spec})
    # given a class that comes after the look at all classes, which is still fresh for others
    await make_class(client, f"late-{rig.namespace}")

    await rig.cost_of(rig.policy("other"))

    other = await client.get(BACKUP_POLICY, "other", rig.namespace)
    (ready,) = [c for c in dig(other, "status", "conditions") if c["type"] == "Ready"]
    assert ready["status"] == "True"


async def test_only_what_we_wrote_last_is_known_as_our_own(rig: Rig, client: Client) -> None:
    await rig.cost_of(rig.policy())
    ours = await client.get(BACKUP_POLICY, "shop", rig.namespace)
    note = {"resourceVersion": objects.version(ours), "annotations": {"by": "somebody"}}
    theirs = await client.patch(BACKUP_POLICY, "shop", rig.namespace, {"metadata": note})

    assert rig.client.echoes.has(ours)
    assert not rig.client.echoes.has(theirs)
