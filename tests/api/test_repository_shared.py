"""One repository for several policies, claims and clusters: what goes beside what, and what waits;
with the real agent and restic on a real API server.
"""

from __future__ import annotations

import pytest
from tests.support.repositories import NAME
from tests.support.rolling_world import World
from tests.support.uploads import Uploads, is_upload, point, uploads_of

from backstay.api.point import PointResult
from backstay.domain import objects
from backstay.domain.objects import Obj
from backstay.domain.stores.repository.record import decode
from backstay.kube.resources import BACKUP, BACKUP_REPOSITORY, NAMESPACE
from backstay.reconcile import keys

DIRECT = {"name": NAME, "copyMethod": "Direct"}


@pytest.fixture
def uploads(world: World) -> Uploads:
    return Uploads(world)


async def claims(uploads: Uploads, *names: str) -> None:
    for name in names:
        folder = await uploads.world.storage.claim(uploads.world.namespace, name)
        (folder / "name").write_text(name)


async def two_runs(uploads: Uploads, movers: int) -> None:
    """Two policies of five claims in one repository, each of which is to run now."""
    await uploads.world.storage.classes()
    await claims(uploads, "a", "b", "c", "d", "e")
    await uploads.repository(shared=True, limits={"movers": movers})
    for policy, names in (("first", ["a", "b", "c"]), ("second", ["d", "e"])):
        source = {"claims": {"names": names}}
        await uploads.policy(policy, source=source, snapshot=None, repository=DIRECT)
    for policy in ("first", "second"):
        await uploads.ask(policy, policy)


async def jobs(uploads: Uploads) -> list[Obj]:
    return [job for job in await uploads.repositories.jobs() if is_upload(job)]


async def look(uploads: Uploads, *names: str, times: int = 6) -> list[Obj]:
    """Let the operator look so often at runs; return them."""
    world = uploads.world
    for _ in range(times):
        for name in names:
            world.add(keys.backup(world.namespace, name))
        await world.step()
    return [await world.get(BACKUP, name) for name in names]


async def test_two_policies_and_five_claims_are_uploaded_into_one_repository_at_once(
    uploads: Uploads, world: World
) -> None:
    world.node.at_once = True
    await two_runs(uploads, movers=2)

    await world.settle()

    runs = [await world.get(BACKUP, name) for name in ("first", "second")]
    assert [run["status"]["phase"] for run in runs] == ["Completed", "Completed"]
    points = [p for run in runs for p in run["status"]["points"]]
    assert {p["source"]: p["result"] for p in points} == dict.fromkeys("abcde", PointResult.GOOD)
    data = {snapshot["id"]: snapshot for snapshot in await uploads.snapshots()}
    assert {p["stored"]["data"] for p in points} == set(data)
    for made in points:
        assert data[made["stored"]["data"]]["hostname"] == f"{world.namespace}/{made['source']}"
    assert len(await uploads.snapshots("backstay-point")) == 5


async def test_no_more_jobs_than_the_repository_allows_work_on_it_and_the_others_say_so(
    uploads: Uploads, world: World
) -> None:
    world.node.leaves = "-upload-"
    await two_runs(uploads, movers=1)

    runs = await look(uploads, "first", "second")

    (working,) = await jobs(uploads)
    busy = f"1 of at most 1 Jobs of BackupRepository {NAME} are at work: {objects.name(working)}"
    messages = [run["status"].get("message") for run in runs]
    assert sum(message is not None and busy in message for message in messages) == 1
    world.node.leaves = "\n"
    await world.settle()
    for name in ("first", "second"):
        assert (await world.get(BACKUP, name))["status"]["phase"] == "Completed"
    assert len(uploads_of(world)) == 5


async def test_an_upload_waits_for_maintenance_of_its_repository(
    uploads: Uploads, world: World
) -> None:
    await uploads.begin(repository=DIRECT, snapshot=None)
    await _work(uploads, "Maintain")
    await uploads.ask()

    (waiting,) = await look(uploads, "run")

    maintenance = f"maintenance of BackupRepository {NAME} is under way"
    assert waiting["status"]["message"] == f"upload data: {maintenance}"
    assert "requestedAt" not in point(waiting)
    assert await jobs(uploads) == []
    await _work(uploads, None)
    await world.settle(keys.backup(world.namespace, "run"))
    assert (await world.get(BACKUP, "run"))["status"]["phase"] == "Completed"


async def _work(uploads: Uploads, what: str | None) -> None:
    found = await uploads.repositories.get()
    body: Obj = {
        "metadata": {"resourceVersion": objects.version(found)},
        "status": {"work": what},
    }
    await uploads.world.client.patch(
        BACKUP_REPOSITORY, NAME, uploads.world.namespace, body, subresource="status"
    )


async def test_a_repository_of_two_clusters_has_points_of_both_each_with_its_own_record(
    uploads: Uploads, world: World
) -> None:
    await uploads.begin(repository=DIRECT, snapshot=None)
    mine = await uploads.run()
    ours = world.namespace
    # Another cluster: its namespace, policy, claim and Backup, and the same place.
    world.namespace = f"{ours}-b"
    await world.client.create(NAMESPACE, {"metadata": {"name": world.namespace}})
    other = Uploads(world)
    await claims(other, "data")
    await other.repository_of(uploads.repositories.folder)
    await other.policy(repository=DIRECT, snapshot=None)

    theirs = await other.run()

    for run in (mine, theirs):
        assert run["status"]["phase"] == "Completed", run["status"]["points"]
    records = {s["id"]: s for s in await uploads.snapshots("backstay-point")}
    assert len(records) == 2
    for namespace, run in ((ours, mine), (world.namespace, theirs)):
        tags = dict(t.split("=", 1) for t in records[point(run)["stored"]["record"]]["tags"][1:])
        said = decode(tags["record"])
        home = await world.client.get(NAMESPACE, namespace)
        assert (said["namespace"], said["namespaceUid"]) == (namespace, objects.uid(home))
        assert said["labels"]["backstay.dev/backup"] == "run"
