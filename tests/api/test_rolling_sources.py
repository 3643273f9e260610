"""Node clocks that are off, sources that were replaced and trees that are gone, with the real
agent: copies are made, what would go is held, and the policy says why.
"""

from __future__ import annotations

import shutil
from datetime import timedelta

import pytest
from hack.cluster.kit.packages import ROLLING, ensure, extend_path
from tests.support.rolling_world import World

from backstay.domain import labels, objects
from backstay.domain.times import parse_time
from backstay.engine.system_clock import SystemClock
from backstay.kube.resources import BACKUP, BACKUP_POLICY, PERSISTENT_VOLUME_CLAIM, RESTORE_REQUEST
from backstay.reconcile import keys

ACCEPT = "kubectl annotate backuppolicy uploads "


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    extend_path()
    ensure(ROLLING)


def marked(world: World) -> list[str]:
    """The points that retention has marked."""
    return [s for s, p in world.points().items() if labels.MARKED_AT in p.read_text()]


@pytest.mark.parametrize("clock", ["2031-01-01 00:00:00", "1990-01-01 00:00:00"])
async def test_a_node_whose_clock_is_off_is_named_and_holds_what_deletes(
    world: World, clock: str
) -> None:
    await world.policy(retention={"last": 1})
    old = [await world.run(slot=slot) for slot in (-5, -4, -3)]
    world.node.clock = clock
    began = SystemClock().now() - timedelta(seconds=5)  # whole seconds, and skew

    done = await world.run(slot=-2)

    assert done["status"]["phase"] == "Completed"
    (entry,) = done["status"]["points"]
    assert began <= parse_time(entry["takenAt"]) <= SystemClock().now()
    assert f"the clock of node worker-1 says {clock[:4]}" in entry["rolling"]["note"]
    for backup in old:
        await world.age(backup)
    await world.relist()
    held = await world.condition("RetentionHeld")
    assert (held["status"], held["reason"]) == ("True", "ClockSkew")
    assert "the clock of node worker-1 says" in held["message"]
    assert len(marked(world)) == 2  # by the copies before

    world.node.clock = ""
    await world.run(slot=-1)
    await world.settle(keys.copies(world.namespace, "uploads"))

    assert (await world.condition("RetentionHeld"))["reason"] != "ClockSkew"
    assert len(marked(world)) == 4


async def test_a_directory_that_is_replaced_leaves_the_copies_of_the_one_before(
    world: World,
) -> None:
    await world.policy(retention={"last": 1})
    for slot in (-6, -5):
        await world.run(slot=slot)
    uploads = world.source / "uploads"
    uploads.rename(world.source / "away")
    shutil.copytree(world.source / "away", uploads)

    for slot in (-4, -3):
        assert (await world.run(slot=slot))["status"]["phase"] == "Completed"
    await world.settle(keys.copies(world.namespace, "uploads"))

    first, second, third, newest = world.points().values()
    texts = [path.read_text() for path in (first, second, third, newest)]
    # The second was the newest of the old disk: it would be marked by now.
    assert labels.MARKED_AT not in texts[1]
    assert labels.MARKED_AT in texts[2]
    reported = await world.condition("SourceReplaced")
    assert reported["status"] == "True"
    assert "directory worker-1:" in reported["message"]
    assert "2 copies of the one before" in reported["message"]
    word = reported["message"].partition(f"{ACCEPT}{labels.ACCEPT_SOURCE}=")[2].partition(" ")[0]

    await world.annotate(labels.ACCEPT_SOURCE, word)

    assert (await world.condition("SourceReplaced"))["status"] == "False"
    assert labels.MARKED_AT in second.read_text()


async def test_a_claim_that_is_recreated_leaves_the_copies_of_the_one_before(
    world: World,
) -> None:
    await world.claim("data")
    await world.claim("backups")
    folder = world.claims / world.namespace / "data"
    (folder / "a").write_text("one")
    await world.policy(
        source={"claims": {"names": ["data"]}},
        rolling={"destination": {"claim": {"name": "backups"}}, "allowSameFileSystem": True},
        retention={"last": 1},
    )
    first = await world.run(slot=-3)
    old = await world.get(PERSISTENT_VOLUME_CLAIM, "data")
    await world.client.delete(
        PERSISTENT_VOLUME_CLAIM, "data", world.namespace, uid=objects.uid(old)
    )
    body = {
        "metadata": {"name": "data", "namespace": world.namespace},
        "spec": {k: v for k, v in old["spec"].items() if k != "volumeName"},
    }
    found = await world.client.find(PERSISTENT_VOLUME_CLAIM, "data", world.namespace)
    if found is not None:  # nobody is here who takes the finalizer off
        version = {"resourceVersion": objects.version(found), "finalizers": None}
        await world.client.patch(
            PERSISTENT_VOLUME_CLAIM, "data", world.namespace, {"metadata": version}
        )
    recreated = await world.client.create(PERSISTENT_VOLUME_CLAIM, body)
    for slot in (-2, -1):
        await world.run(slot=slot)
    await world.settle(keys.copies(world.namespace, "uploads"))

    reported = await world.condition("ClaimReplaced")
    assert reported["status"] == "True"
    command = f"{ACCEPT}{labels.ACCEPT_CLAIM}=data@{objects.uid(recreated)} --overwrite"
    assert command in reported["message"]
    kept = await world.get(BACKUP, objects.name(first))
    assert kept["status"]["until"] == "kept"

    await world.annotate(labels.ACCEPT_CLAIM, f"data@{objects.uid(recreated)}")

    assert (await world.condition("ClaimReplaced"))["status"] == "False"
    shown = (await world.get(BACKUP, objects.name(first)))["status"]["points"][0]["rolling"]
    assert labels.MARKED_AT in shown["annotations"]


async def test_a_copy_whose_tree_is_gone_is_missing_and_counts_no_more(world: World) -> None:
    await world.policy(retention={"last": 3})
    done = []
    for number in range(4):
        (world.source / "uploads/a").write_text(str(number))
        done.append(await world.run(slot=number - 9))
    newest = world.points()[done[-1]["status"]["points"][0]["ref"]]
    shutil.rmtree(
        newest.parent.parent / "trees" / done[-1]["status"]["points"][0]["rolling"]["tree"]
    )

    await world.relist()

    reported = await world.condition("CopiesMissing")
    assert (reported["status"], reported["reason"]) == ("True", "NotFound")
    assert "1 of 4" in reported["message"]
    lost = await world.get(BACKUP, objects.name(done[-1]))
    assert lost["status"]["points"][0]["rolling"]["missing"] is True
    await world.settle(keys.policy(world.namespace, "uploads"))
    policy = await world.get(BACKUP_POLICY, "uploads")
    assert policy["status"]["good"] == 3
    request = {
        "from": {"backup": objects.name(done[-1])},
        "directory": {"path": str(world.source / "back")},
    }
    await world.create(RESTORE_REQUEST, "back", request)
    await world.settle(keys.restore(world.namespace, "back"))
    refused = await world.get(RESTORE_REQUEST, "back")
    assert refused["status"]["phase"] == "Refused"
    assert "CopiesMissing" in refused["status"]["conditions"][0]["message"]
