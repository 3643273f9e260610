"""What an upload is made of: copyMethod, directories, dumps, what is left out; with the real agent
and restic on a real API server.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tests.support.copy_methods import temporary
from tests.support.dumping_cluster import Containers, add_databases
from tests.support.repositories import NAME
from tests.support.rolling_world import WORKER, World
from tests.support.uploads import POLICY, Uploads, point, task_of, uploads_of

from backstay.domain import objects
from backstay.domain.objects import Obj, dig
from backstay.domain.stores.repository.carried import Carried
from backstay.domain.stores.repository.record import decode
from backstay.domain.times import parse_time
from backstay.kube.resources import BACKUP
from backstay.reconcile import keys


@pytest.fixture
def uploads(world: World) -> Uploads:
    return Uploads(world)


def method(name: str, **more: object) -> Obj:
    return {"repository": {"name": NAME, "copyMethod": name, **more}, "snapshot": None}


async def test_a_live_claim_is_uploaded_as_it_is_beside_the_pod_that_writes_to_it(
    uploads: Uploads, world: World
) -> None:
    await uploads.begin(**method("Direct"))
    await world.pod("writer", "data", WORKER)

    done = await uploads.run()

    assert done["status"]["phase"] == "Completed", done["status"]["points"]
    assert world.storage.made == []
    (job,) = uploads_of(world)
    pod = dig(job, "spec", "template", "spec")
    claims = {v["name"]: dig(v, "persistentVolumeClaim", "claimName") for v in pod["volumes"]}
    assert claims["data"] == "data"
    (mount,) = [m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "data"]
    assert mount["readOnly"] is True
    assert WORKER in str(pod["affinity"])
    (data,) = await uploads.snapshots()
    assert parse_time(point(done)["takenAt"]) == parse_time(data["time"]).replace(microsecond=0)


async def test_a_clone_is_uploaded_and_is_of_the_moment_of_its_creation(
    uploads: Uploads, world: World
) -> None:
    await uploads.begin(**method("Clone"))

    done = await uploads.run()

    assert done["status"]["phase"] == "Completed", done["status"]["points"]
    (clone,) = world.storage.made
    assert dig(clone, "spec", "dataSource", "kind") == "PersistentVolumeClaim"
    assert dig(clone, "spec", "dataSource", "name") == "data"
    taken = dig(clone, "metadata", "creationTimestamp")
    assert parse_time(point(done)["takenAt"]) == parse_time(taken)
    assert await temporary(world) == []


async def test_the_temporary_claim_is_as_the_policy_says_where_it_says_something(
    uploads: Uploads, world: World
) -> None:
    await world.storage.classes("slow")
    volume = {"storageClassName": "slow", "accessModes": ["ReadOnlyMany"], "size": "7Gi"}
    await uploads.begin(repository={"name": NAME, "volume": volume})

    done = await uploads.run()

    assert done["status"]["phase"] == "Completed", done["status"]["points"]
    (made,) = world.storage.made
    assert made["spec"]["storageClassName"] == "slow"
    assert made["spec"]["accessModes"] == ["ReadOnlyMany"]
    assert made["spec"]["resources"]["requests"]["storage"] == "7Gi"


async def test_every_setting_reaches_the_job_that_uploads(uploads: Uploads) -> None:
    settings = {"allowUnreadable": True, "minimumPercent": 80, "maxDuration": "2h"}
    await uploads.begin(**method("Direct", **settings))

    done = await uploads.run()

    assert done["status"]["phase"] == "Completed", done["status"]["points"]
    (job,) = uploads_of(uploads.world)
    task = task_of(job)
    assert task["source"]["allowUnreadable"] is True
    assert task["shrink"]["percent"] == 80
    assert job["spec"]["activeDeadlineSeconds"] == 7200
    # What may pass by itself is tried again by the same Job, as a copy is.
    assert job["spec"]["backoffLimit"] == 3
    assert job["metadata"]["labels"]["backstay.dev/policy"] == POLICY


async def test_a_directory_of_a_claim_is_uploaded_without_what_is_excluded(
    uploads: Uploads, tmp_path: Path
) -> None:
    source = {"claims": {"names": ["data"], "subPath": "site"}}
    exclude = ["/cache", "*.tmp"]
    await uploads.begin(source=source, repository={"name": NAME, "exclude": exclude})
    for name in ("site/a", "site/b.tmp", "site/cache/c", "site/sub/cache/d"):
        (uploads.data / name).parent.mkdir(parents=True, exist_ok=True)
        (uploads.data / name).write_text(name)

    done = await uploads.run()

    assert done["status"]["phase"] == "Completed", done["status"]["points"]
    stored = point(done, source="data/site")
    assert stored["stored"]["files"] == 2
    folder = await uploads.restored(stored["stored"]["data"], tmp_path / "restored")
    files = {path.name: path for path in folder.rglob("*") if path.is_file()}
    assert {name: path.read_text() for name, path in files.items()} == {
        "a": "site/a",
        "d": "site/sub/cache/d",
    }


class Dumps(Containers):
    """Containers whose dumps have the sha256 that the test says."""

    sha256 = ""

    def _state(self, key: tuple[str, str, str]) -> Obj:
        return {**super()._state(key), "sha256": self.sha256}


@pytest.mark.parametrize("of", ["Direct", "Snapshot"])
@pytest.mark.parametrize("replaced", [False, True])
async def test_a_point_has_the_dump_of_its_run_inside_which_was_read_again(
    uploads: Uploads, world: World, of: str, replaced: bool
) -> None:
    nodes = await add_databases(world.client, world.namespace, [WORKER])
    dumps = Dumps(nodes, seconds=0)
    world.exec = dumps
    world.restart()
    folder = world.claims / world.namespace / "data-db-0-0"
    folder.mkdir(parents=True)
    dumps.sha256 = hashlib.sha256(b"the dump").hexdigest()
    (folder / "shop.dump").write_bytes(b"another" if replaced else b"the dump")
    await world.storage.classes()
    await uploads.repository()
    await world.patch_policy(
        "db-0", spec={"repository": {"name": NAME, "copyMethod": of}, "snapshot": {}}
    )
    await world.create(BACKUP, "run", {"policy": "db-0"})

    await world.settle(keys.backup(world.namespace, "run"))

    done = await world.get(BACKUP, "run")
    (job,) = uploads_of(world)
    assert task_of(job)["dumps"] == [{"name": "all", "path": "shop.dump", "sha256": dumps.sha256}]
    assert point(done, "Snapshot", "data-db-0-0")["result"] == "good"
    stored = point(done, source="data-db-0-0")
    if replaced:
        assert done["status"]["phase"] == "PartiallyFailed"
        assert stored["message"].startswith("DumpChanged: ")
        assert await uploads.snapshots("backstay-point") == []
    else:
        assert done["status"]["phase"] == "Completed", done["status"]["points"]
        assert objects.name(done) in task_of(job)["run"]


async def test_a_source_that_has_lost_much_is_no_point_unless_its_run_allows_that(
    uploads: Uploads,
) -> None:
    await uploads.begin()
    for number in range(4):
        (uploads.data / f"file-{number}").write_text("x" * 100)
    assert (await uploads.run("whole"))["status"]["phase"] == "Completed"
    for number in range(4):
        (uploads.data / f"file-{number}").unlink()

    refused = await uploads.run("shrunk")
    allow = {"backstay.dev/allow-shrunken": "true"}
    allowed = await uploads.run("allowed", annotations=allow)

    assert refused["status"]["phase"] == "PartiallyFailed"
    assert point(refused)["message"].startswith("SourceShrunk: ")
    assert point(refused, "Snapshot")["result"] == "good"
    assert allowed["status"]["phase"] == "Completed", allowed["status"]["points"]
    assert len(await uploads.snapshots("backstay-point")) == 2


def rolling(**more: object) -> Obj:
    return {
        "destination": {"claim": {"name": "backups", "subPath": "kept"}},
        "allowSameFileSystem": True,
        "scrub": {"days": 0},
        **more,
    }


@pytest.mark.parametrize("of", ["Direct", "Snapshot"])
async def test_the_newest_rolling_copy_is_uploaded_with_its_hard_links(
    uploads: Uploads, world: World, tmp_path: Path, of: str
) -> None:
    await world.storage.claim(world.namespace, "backups")
    snapshot: Obj | None = {} if of == "Snapshot" else None
    repository = {"name": NAME, "copyMethod": "Rolling"}
    await uploads.begin(snapshot=snapshot, rolling=rolling(copyMethod=of), repository=repository)
    (uploads.data / "b").write_text("twice")
    (uploads.data / "c").hardlink_to(uploads.data / "b")
    first = await uploads.run("first")
    (uploads.data / "a").write_text("changed")

    done = await uploads.run()

    assert first["status"]["phase"] == "Completed", first["status"]["points"]
    assert done["status"]["phase"] == "Completed", done["status"]["points"]
    copy, stored = point(done, "Rolling"), point(done)
    assert stored["takenAt"] == copy["takenAt"]
    assert len(await uploads.snapshots("backstay-point")) == 2
    folder = await uploads.restored(stored["stored"]["data"], tmp_path / "restored")
    found = {path.name: path for path in folder.rglob("*") if path.is_file()}
    assert {name: path.read_text() for name, path in found.items()} == {
        "a": "changed",
        "b": "twice",
        "c": "twice",
    }
    # The driver of this test copies file by file, and links are none in a claim that it makes.
    assert found["b"].samefile(found["c"]) is (of == "Direct")
    # The temporary claims are the copies', and uploads make none.
    assert len(world.storage.made) == (2 if of == "Snapshot" else 0)
    job = uploads_of(world)[-1]
    mounts = dig(job, "spec", "template", "spec", "containers")[0]["volumeMounts"]
    (mount,) = [m for m in mounts if m["name"] == "data"]
    assert mount["subPath"].startswith(f"kept/{world.namespace}/offsite/data-")
    assert mount["readOnly"] is True


async def test_a_rolling_copy_that_has_changed_nothing_is_uploaded_again_from_its_tree(
    uploads: Uploads, world: World
) -> None:
    await world.storage.claim(world.namespace, "backups")
    repository = {"name": NAME, "copyMethod": "Rolling"}
    await uploads.begin(snapshot=None, rolling=rolling(), repository=repository)
    first, second = await uploads.run("first"), await uploads.run("second")

    assert second["status"]["phase"] == "Completed", second["status"]["points"]
    trees = {point(run, "Rolling")["rolling"]["tree"] for run in (first, second)}
    assert len(trees) == 1
    assert point(first)["stored"]["tree"] == point(second)["stored"]["tree"]
    assert point(second)["stored"]["newBytes"] < point(first)["stored"]["newBytes"]


@pytest.mark.parametrize("of", ["Direct", "Rolling"])
async def test_a_directory_of_a_node_is_uploaded_from_that_node_and_nothing_beside_it(
    uploads: Uploads, world: World, tmp_path: Path, of: str
) -> None:
    await uploads.repository()
    world.node.namespaces = frozenset({world.namespace, world.home})
    copies = {
        "destination": {"hostPath": str(world.backup)},
        "allowSameFileSystem": True,
        "scrub": {"days": 0},
    }
    path = str(world.source / "uploads")
    await uploads.policy(
        source={"hostPath": {"path": path, "node": WORKER}},
        snapshot=None,
        rolling=copies if of == "Rolling" else None,
        repository={"name": NAME, "copyMethod": of},
    )

    done = await uploads.run()

    assert done["status"]["phase"] == "Completed", done["status"]
    stored = point(done, source=f"{WORKER}:{path}")
    (data,) = await uploads.snapshots()
    assert data["hostname"] == f"{world.namespace}/{WORKER}:{path}"
    folder = await uploads.restored(data["id"], tmp_path / "restored")
    found = {p.name: p.read_text() for p in folder.rglob("*") if p.is_file()}
    assert found == {"a": "one", "b": "two"}
    assert stored["stored"]["data"] == data["id"]
    (record,) = await uploads.snapshots("backstay-point")
    tags = dict(tag.split("=", 1) for tag in record["tags"] if "=" in tag)
    carried = Carried.from_json(decode(tags["record"]))
    assert carried.source == f"{WORKER}:{path}"
    (job,) = uploads_of(world)
    pod = dig(job, "spec", "template", "spec")
    (volume,) = [v for v in pod["volumes"] if v["name"] == "data"]
    (mount,) = [m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "data"]
    root = {"Direct": world.source, "Rolling": world.backup}[of]
    assert volume["hostPath"] == {"path": str(root), "type": "Directory"}
    assert mount["readOnly"] is True
    assert mount["subPath"] if of == "Rolling" else mount["subPath"] == "uploads"
    assert WORKER in str(pod["affinity"])


async def test_a_directory_that_the_administrator_does_not_allow_is_not_uploaded(
    uploads: Uploads, world: World
) -> None:
    await uploads.repository()
    await uploads.policy(
        source={"hostPath": {"path": "/etc", "node": WORKER}},
        snapshot=None,
        repository={"name": NAME, "copyMethod": "Direct"},
    )

    ready = await world.ready(POLICY)
    assert (ready["status"], ready["reason"]) == ("False", "PathNotAllowed")
    assert ready["message"].startswith("spec.source.hostPath: /etc on node worker-1 may not be")
