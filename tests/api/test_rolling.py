"""Rolling copies with the real agent and a real API server; the node is the test's own.

The operator is wired as in main. What has to do with real nodes is in tests/e2e/test_rolling.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.node import Node, NodeClient

from backstay.api.common import format_time
from backstay.cli import main as kubectl_backstay
from backstay.domain import labels, objects
from backstay.domain.errors import Conflict, Transient
from backstay.domain.objects import Obj, dig
from backstay.engine.queue import Key
from backstay.engine.system_clock import SystemClock
from backstay.kube.events import EventPoster
from backstay.kube.exec import Exec
from backstay.kube.login import Login
from backstay.kube.resources import (
    BACKUP,
    BACKUP_POLICY,
    JOB,
    NAMESPACE,
    NODE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    RESTORE_REQUEST,
    Resource,
)
from backstay.main import Router
from backstay.reconcile import keys
from backstay.settings import DestinationRoot, RollingRoots, Settings, SourceRoot
from backstay.steps.streams import Streams

ROUNDS = 60
WORKER = "worker-1"


class World:
    """An operator without a loop: what it enqueues is done when the test says so."""

    def __init__(self, client: NodeClient, access: Login, home: str, root: Path) -> None:
        self.client = client
        self.home = home
        self.root = root
        self.source, self.backup = root / "srv", root / "backup"
        self.claims = root / "claims"
        self.node = Node(client, WORKER, self.claims)
        self.namespace = ""
        self._access = access
        self.restart()

    def restart(self, **allowed: Any) -> None:
        """Start the operator anew, with other roots where the test says so."""
        roots = {
            "sources": (SourceRoot(path=str(self.source), namespaces=("*",), restore=True),),
            "destinations": (DestinationRoot(path=str(self.backup), namespaces=("*",)),),
        }
        settings = Settings(namespace=self.home, rolling=RollingRoots(**roots | allowed))
        clock = SystemClock()
        events = EventPoster(self.client, clock, "test")
        self._router = Router(settings, clock, self.client, events, Streams(Exec(self._access)))
        self._router.wire(self)  # type: ignore[arg-type]  # all that it needs is add()
        self._due: set[Key] = set()

    def add(self, key: Key) -> None:
        """Enqueue a key, as the queue of the operator does."""
        if key.kind != keys.RETENTION:  # of snapshots: there are none here
            self._due.add(key)

    async def step(self) -> bool:
        """Do once what is due; return whether anything was."""
        due, self._due = sorted(self._due), set()
        for key in due:
            try:
                after = await self._router.reconcile(key)
            except (Conflict, Transient):
                after = timedelta(0)
            if after is not None and after < timedelta(minutes=1):
                self._due.add(key)
        return bool(due)

    async def settle(self, *first: Key) -> None:
        """Work and let the node work, until neither has anything to do."""
        self._due |= set(first)
        for _ in range(ROUNDS):
            busy = await self.step()
            ran = await self.node.run()
            if not busy and not ran:
                return
        backups = await self.client.list(BACKUP, self.namespace)
        raise AssertionError(f"still due: {self._due}; {[b.get('status') for b in backups]}")

    async def create(self, resource: Resource, name: str, spec: Obj, **meta: Any) -> Obj:
        metadata = {"name": name, "namespace": self.namespace, **meta}
        return await self.client.create(resource, {"metadata": metadata, "spec": spec})

    async def policy(self, name: str = "uploads", **spec: Any) -> None:
        defaults: Obj = {
            "source": {"hostPath": {"path": str(self.source / "uploads"), "node": WORKER}},
            "rolling": {
                "destination": {"hostPath": str(self.backup)},
                "allowSameFileSystem": True,
                "scrub": {"days": 0},
            },
            "retries": 0,
        }
        await self.create(BACKUP_POLICY, name, defaults | spec)
        await self.settle(keys.policy(self.namespace, name), keys.copies(self.namespace, name))

    async def run(self, policy: str = "uploads", slot: int | None = None, **meta: Any) -> Obj:
        """Run a policy to its end; with a slot, as its schedule would. Return the Backup."""
        name = f"{policy}-{secrets.token_hex(3)}"
        spec: Obj = {"policy": policy}
        if slot is not None:
            at = SystemClock().now() + timedelta(minutes=slot)
            spec |= {"trigger": "Scheduled", "scheduledFor": format_time(at)}
        await self.create(BACKUP, name, spec, **meta)
        await self.settle(keys.backup(self.namespace, name))
        return await self.get(BACKUP, name)

    async def get(self, resource: Resource, name: str) -> Obj:
        return await self.client.get(resource, name, self.namespace)

    async def jobs(self, namespace: str | None = None) -> list[Obj]:
        return await self.client.list(JOB, namespace or self.home)

    def points(self, policy: str = "uploads") -> dict[str, Path]:
        """The points at the destination, by stamp."""
        found = (self.backup / self.namespace / policy).glob("*/points/[0-9]*.json")
        return {path.stem: path for path in sorted(found)}

    async def patch_policy(self, name: str = "uploads", **body: Any) -> None:
        """Change a policy, and let everything follow."""
        policy = await self.get(BACKUP_POLICY, name)
        patch = {"metadata": {"resourceVersion": objects.version(policy)}, **body}
        await self.client.patch(BACKUP_POLICY, name, self.namespace, patch)
        await self.settle(keys.policy(self.namespace, name), keys.copies(self.namespace, name))

    async def _forget_look(self, field: str) -> None:
        """Let a day pass for one of the looks at the destination."""
        policy = await self.get(BACKUP_POLICY, "uploads")
        copies = [{**c, field: "2026-01-01T00:00:00Z"} for c in policy["status"]["copies"]]
        body = {
            "metadata": {"resourceVersion": objects.version(policy)},
            "status": {"copies": copies},
        }
        await self.client.patch(
            BACKUP_POLICY, "uploads", self.namespace, body, subresource="status"
        )
        for job in await self.jobs():
            await self.delete_job(job)
        await self.settle(keys.copies(self.namespace, "uploads"))

    async def delete_job(self, job: Obj) -> None:
        """Delete a Job as kubectl does."""
        name, uid = objects.name(job), objects.uid(job)
        await self.client.delete(JOB, name, self.home, uid=uid, propagation="Background")

    async def relist(self) -> None:
        """A day later: the destination is listed again."""
        await self._forget_look("listedAt")

    async def scrub_again(self) -> None:
        """A day later: a part of the copies is read again."""
        await self._forget_look("scrubbedAt")

    async def claim(self, name: str) -> None:
        """Make a claim, and the folder that stands for its volume."""
        (self.claims / self.namespace / name).mkdir(parents=True)
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        }
        await self.create(PERSISTENT_VOLUME_CLAIM, name, spec)

    async def pod(self, name: str, claim: str, node: str) -> None:
        """Make a Pod that uses a claim on a node."""
        volume = {"name": "data", "persistentVolumeClaim": {"claimName": claim}}
        spec = {
            "nodeName": node,
            "containers": [{"name": "app", "image": "none"}],
            "volumes": [volume],
        }
        await self.create(POD, name, spec)

    async def ready(self, name: str = "uploads") -> Obj:
        policy = await self.get(BACKUP_POLICY, name)
        found: Obj = next(c for c in policy["status"]["conditions"] if c["type"] == "Ready")
        return found


@pytest.fixture
async def world(credentials: Login, tmp_path: Path) -> AsyncIterator[World]:
    async with NodeClient(credentials, SystemClock()) as client:
        client.logs = {}
        token = secrets.token_hex(4)
        made = World(client, credentials, f"home-{token}", tmp_path)
        made.namespace = f"team-{token}"
        for name in (made.home, made.namespace):
            await client.create(NAMESPACE, {"metadata": {"name": name}})
        await _ensure_node(client, WORKER, ready=True)
        (made.source / "uploads/sub").mkdir(parents=True)
        (made.source / "uploads/a").write_text("one")
        (made.source / "uploads/sub/b").write_text("two")
        made.backup.mkdir()
        (made.backup / ".backstay.json").write_text('{"format": 1, "id": "disk-1"}')
        yield made


async def _ensure_node(client: NodeClient, name: str, *, ready: bool) -> None:
    node = await client.find(NODE, name) or await client.create(NODE, {"metadata": {"name": name}})
    condition = {
        "type": "Ready",
        "status": "True" if ready else "Unknown",
        "reason": "KubeletReady" if ready else "NodeStatusUnknown",
        "message": "" if ready else "Kubelet stopped posting node status.",
    }
    body = {
        "metadata": {"resourceVersion": objects.version(node)},
        "status": {"conditions": [condition]},
    }
    await client.patch(NODE, name, None, body, subresource="status")


async def test_a_run_copies_on_the_named_node_and_mirrors_the_point(world: World) -> None:
    await world.policy(retention={"daily": 7})

    done = await world.run(slot=-1)

    (entry,) = done["status"]["points"]
    ((stamp, path),) = world.points().items()
    assert done["status"]["phase"] == "Completed"
    assert (entry["claim"], entry["result"]) == (f"{WORKER}:{world.source}/uploads", "good")
    assert (entry["rolling"]["stamp"], entry["tiers"]) == (stamp, ["daily"])
    assert entry["rolling"]["labels"] == json.loads(path.read_text())["labels"]
    copy = path.parent.parent / stamp
    assert (copy / "sub/b").read_text() == "two"
    (job,) = [j for j in world.node.ran if "copy" in objects.name(j)]
    pod = dig(job, "spec", "template", "spec")
    assert objects.namespace(job) == world.home
    assert dig(pod, "affinity", "nodeAffinity") == {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [WORKER]}]}
            ]
        }
    }
    assert pod["automountServiceAccountToken"] is False
    assert {v["name"]: dig(v, "hostPath", "path") for v in pod["volumes"]} == {
        "source": str(world.source),
        "destination": str(world.backup),
        "tmp": None,
    }
    policy = await world.get(BACKUP_POLICY, "uploads")
    assert policy["status"]["good"] == 1
    assert (await world.ready())["status"] == "True"


async def test_the_next_copy_takes_the_tier_over_and_the_dated_one_is_pruned(world: World) -> None:
    await world.policy(retention={"last": 1, "daily": 1})
    first = await world.run(slot=-2)
    (world.source / "uploads/a").write_text("changed")
    second = await world.run(slot=-1)
    old, new = world.points().values()
    assert labels.DAILY in json.loads(old.read_text())["labels"]

    edited = json.loads(old.read_text())
    edited["labels"][labels.DELETE_AFTER] = "2020-01-01"
    old.write_text(json.dumps(edited))
    await world.relist()

    assert list(world.points().values()) == [new]
    assert await world.client.find(BACKUP, objects.name(first), world.namespace) is None
    kept = await world.get(BACKUP, objects.name(second))
    assert kept["status"]["tiers"] == "daily"
    assert (world.points()[new.stem].parent.parent / new.stem / "a").read_text() == "changed"


async def test_a_hold_set_by_hand_on_the_disk_wins_over_a_date(world: World) -> None:
    await world.policy(retention={"last": 1})
    await world.run(slot=-2)
    await world.run(slot=-1)
    old, _ = world.points().values()
    edited = json.loads(old.read_text())
    edited["labels"] |= {labels.DELETE_AFTER: "2020-01-01", labels.HOLD: "true"}
    old.write_text(json.dumps(edited))

    await world.relist()

    assert len(world.points()) == 2
    shown = [b["status"]["until"] for b in await world.client.list(BACKUP, world.namespace)]
    assert "held" in shown


async def test_a_point_that_is_not_as_it_was_seen_is_listed_and_then_judged_anew(
    world: World,
) -> None:
    await world.policy(retention={"daily": 1})
    await world.run(slot=-2)
    (old,) = world.points().values()
    edited = json.loads(old.read_text())
    edited["annotations"]["note"] = "seen by nobody yet"
    old.write_text(json.dumps(edited))

    # The tier goes on to nobody, but the older one is marked: its version is not the one shown.
    await world.run(slot=-1)
    await world.patch_policy(spec={"retention": {"daily": None, "last": 1}})

    verbs = [objects.name(j).rsplit("-", 2)[1] for j in world.node.ran]
    assert verbs[verbs.index("relabel") :][:3] == ["relabel", "list", "relabel"]
    now = json.loads(old.read_text())
    assert now["annotations"]["note"] == "seen by nobody yet"
    assert labels.MARKED_AT in now["annotations"]


async def test_nothing_to_do_makes_no_job(world: World) -> None:
    await world.policy(retention={"daily": 7})
    await world.run(slot=-1)
    ran = len(world.node.ran)

    await world.settle(keys.copies(world.namespace, "uploads"))

    assert len(world.node.ran) == ran
    assert await world.jobs() == [j for j in await world.jobs() if dig(j, "status", "conditions")]


async def test_records_come_back_from_the_disk_when_the_policy_is_made_anew(world: World) -> None:
    await world.policy(retention={"daily": 7})
    done = await world.run(slot=-1)
    for kind, name in ((BACKUP, objects.name(done)), (BACKUP_POLICY, "uploads")):
        obj = await world.get(kind, name)
        await world.client.delete(kind, name, world.namespace, uid=objects.uid(obj))
    world.restart()

    await world.policy(retention={"daily": 7})

    back = await world.get(BACKUP, objects.name(done))
    assert back["spec"]["trigger"] == "Imported"
    assert back["spec"]["scheduledFor"] == done["spec"]["scheduledFor"]
    assert back["status"]["phase"] == "Completed"
    assert back["status"]["tiers"] == "daily"
    assert (await world.get(BACKUP_POLICY, "uploads"))["status"]["good"] == 1


async def test_without_its_policy_a_series_is_frozen_and_pruned_by_hand_set_dates_only(
    world: World,
) -> None:
    await world.policy(retention={"last": 1})
    await world.run(slot=-3)
    await world.run(slot=-2)
    await world.run(slot=-1)
    policy = await world.get(BACKUP_POLICY, "uploads")
    await world.client.delete(BACKUP_POLICY, "uploads", world.namespace, uid=objects.uid(policy))

    await world.settle(keys.copies(world.namespace, "uploads"))

    assert len(world.points()) == 3


async def test_a_missing_node_is_told_and_nothing_is_copied(world: World) -> None:
    source = {"hostPath": {"path": str(world.source / "uploads"), "node": "worker-9"}}
    await world.policy(source=source)

    ready = await world.ready()
    assert (ready["status"], ready["reason"]) == ("False", "NodeNotFound")
    assert "there is no node worker-9" in ready["message"]
    failed = await world.run()
    assert failed["status"]["phase"] == "Failed"
    assert "there is no node worker-9" in failed["status"]["message"]
    assert await world.jobs() == []


async def test_a_node_that_is_not_ready_is_waited_for_and_told(world: World) -> None:
    await world.policy()
    before = len(world.node.ran)
    await _ensure_node(world.client, WORKER, ready=False)
    try:
        await world.create(BACKUP, "waits", {"policy": "uploads"})
        world.add(keys.backup(world.namespace, "waits"))
        for _ in range(6):
            await world.step()

        waiting = await world.get(BACKUP, "waits")
        assert waiting["status"]["phase"] == "Copying"
        assert "node worker-1 is not ready (Kubelet stopped" in waiting["status"]["message"]
        assert await world.node.run() == 0
    finally:
        await _ensure_node(world.client, WORKER, ready=True)
    await world.settle()
    assert (await world.get(BACKUP, "waits"))["status"]["phase"] == "Completed"
    assert len(world.node.ran) > before


@pytest.mark.parametrize("path", ["/etc", "{source}-other", "{source}"])
async def test_a_path_outside_the_roots_makes_no_job(world: World, path: str) -> None:
    if path == "{source}":
        world.restart(sources=(SourceRoot(path=str(world.source), namespaces=("other",)),))
    given = path.format(source=world.source)
    await world.policy(source={"hostPath": {"path": given, "node": WORKER}})

    ready = await world.ready()
    assert (ready["status"], ready["reason"]) == ("False", "PathNotAllowed")
    assert f"spec.source.hostPath: {given} on node worker-1 may not be copied" in ready["message"]
    failed = await world.run()
    assert failed["status"]["phase"] == "Failed"
    assert await world.jobs() == []


async def test_a_root_that_is_taken_back_stops_runs_that_were_planned(world: World) -> None:
    await world.policy()
    await world.create(BACKUP, "late", {"policy": "uploads"})
    world.add(keys.backup(world.namespace, "late"))
    await world.step()
    assert (await world.get(BACKUP, "late"))["status"]["phase"] == "Queued"

    world.restart(sources=())
    await world.settle(keys.backup(world.namespace, "late"))

    failed = await world.get(BACKUP, "late")
    assert failed["status"]["phase"] == "Failed"
    assert "may not be copied" in failed["status"]["message"]


async def test_an_operator_that_is_killed_after_any_step_ends_with_one_copy(world: World) -> None:
    await world.policy()
    await world.create(BACKUP, "killed", {"policy": "uploads"})
    for _ in range(ROUNDS):
        world.restart()
        world.add(keys.ADMISSION)
        world.add(keys.backup(world.namespace, "killed"))
        await world.step()
        await world.node.run()
        done = await world.get(BACKUP, "killed")
        if dig(done, "status", "phase") == "Completed":
            break
    assert done["status"]["phase"] == "Completed"
    assert len(world.points()) == 1
    assert len([j for j in world.node.ran if "-copy-" in objects.name(j)]) == 1


async def test_a_job_that_is_deleted_with_its_pods_is_made_again_for_the_same_copy(
    world: World,
) -> None:
    await world.policy()
    await world.create(BACKUP, "lost", {"policy": "uploads"})
    world.add(keys.backup(world.namespace, "lost"))
    while not (jobs := [j for j in await world.jobs() if "-copy-" in objects.name(j)]):
        await world.step()
    await world.step()
    await world.node.run()
    (job,) = jobs
    await world.delete_job(job)

    await world.settle()

    done = await world.get(BACKUP, "lost")
    assert done["status"]["phase"] == "Completed"
    assert len(world.points()) == 1


async def test_a_symlink_that_leads_out_copies_nothing(world: World) -> None:
    outside = world.root / "outside"
    outside.mkdir()
    (outside / "secret").write_text("of others")
    (world.source / "uploads/link").symlink_to(outside)
    (world.source / "way").symlink_to(outside)
    await world.policy()
    done = await world.run()
    (path,) = world.points().values()
    copy = path.parent.parent / path.stem
    assert (copy / "link").is_symlink()
    assert not list((world.backup / world.namespace).glob("**/secret"))

    await world.policy("way", source={"hostPath": {"path": f"{world.source}/way", "node": WORKER}})
    failed = await world.run("way")
    assert done["status"]["phase"] == "Completed"
    assert failed["status"]["phase"] == "Failed"
    assert "symlink" in failed["status"]["message"]
    assert not list((world.backup / world.namespace).glob("**/secret"))


async def test_an_empty_source_is_refused_unless_this_run_allows_it(world: World) -> None:
    await world.policy()
    await world.run()
    for path in (world.source / "uploads/a", world.source / "uploads/sub/b"):
        path.unlink()
    (world.source / "uploads/sub").rmdir()

    failed = await world.run()
    assert failed["status"]["phase"] == "Failed"
    allowed = await world.run(annotations={labels.ALLOW_SHRUNKEN: "true"})
    assert allowed["status"]["phase"] == "Completed"


async def test_a_copy_is_restored_to_a_new_directory_and_held_meanwhile(world: World) -> None:
    await world.policy(retention={"last": 3})
    done = await world.run()
    (world.source / "uploads/a").write_text("newer")
    (point,) = world.points().values()

    target = str(world.source / "back")
    await world.create(
        RESTORE_REQUEST,
        "back",
        {"from": {"backup": objects.name(done)}, "directory": {"path": target}},
    )
    await world.settle(keys.restore(world.namespace, "back"))

    request = await world.get(RESTORE_REQUEST, "back")
    assert request["status"]["phase"] == "Completed", request["status"]
    assert request["status"]["into"] == f"{WORKER}:{target}"
    assert (world.source / "back/a").read_text() == "one"
    assert (world.source / "uploads/a").read_text() == "newer"
    assert labels.IN_USE not in json.loads(point.read_text())["annotations"]
    verbs = [objects.name(j).rsplit("-", 2)[1] for j in world.node.ran]
    assert verbs[verbs.index("copy") :] == ["copy", "relabel", "restore", "relabel"]


async def test_a_restore_in_place_leaves_a_copy_of_what_was_there(world: World) -> None:
    await world.policy()
    done = await world.run()
    (world.source / "uploads/a").write_text("newer")
    later = format_time(SystemClock().now() + timedelta(hours=1))
    spec: Obj = {"from": {"backup": objects.name(done)}, "directory": {"inPlace": {}}}

    await world.create(RESTORE_REQUEST, "over", spec | {"notAfter": later})
    await world.settle(keys.restore(world.namespace, "over"))

    request = await world.get(RESTORE_REQUEST, "over")
    assert request["status"]["phase"] == "Completed", request["status"]
    assert (world.source / "uploads/a").read_text() == "one"
    safety = world.points()[request["status"]["directory"]["safety"]]
    assert (safety.parent.parent / safety.stem / "a").read_text() == "newer"
    record = await world.get(BACKUP, "before-over")
    assert record["status"]["points"][0]["rolling"]["stamp"] == safety.stem


@pytest.mark.parametrize(
    ("directory", "reason", "words"),
    [
        ({"path": "/etc/backstay"}, "PathNotAllowed", "may not be restored into"),
        ({"claim": {"name": "data", "subPath": "x"}}, "NotAClaim", "set path, or inPlace"),
        ({"path": "{source}/x", "source": "other"}, "SourceNotInBackup", "only of worker-1:"),
        ({"path": "{source}/x", "node": "worker-2"}, "CopiesElsewhere", "leave node out"),
    ],
)
async def test_a_restore_that_cannot_be_is_refused_with_the_remedy(
    world: World, directory: Obj, reason: str, words: str
) -> None:
    await world.policy()
    done = await world.run()
    if "path" in directory:
        directory = directory | {"path": directory["path"].format(source=world.source)}
    spec = {"from": {"backup": objects.name(done)}, "directory": directory}
    await world.create(RESTORE_REQUEST, "bad", spec)
    await world.settle(keys.restore(world.namespace, "bad"))

    status = (await world.get(RESTORE_REQUEST, "bad"))["status"]
    assert status["phase"] == "Refused", status
    assert status["conditions"][0]["reason"] == reason
    assert words in status["message"]


async def test_a_request_in_place_that_comes_too_late_is_refused(world: World) -> None:
    await world.policy()
    done = await world.run()
    spec: Obj = {"from": {"backup": objects.name(done)}, "directory": {"inPlace": {}}}
    await world.create(RESTORE_REQUEST, "late", spec | {"notAfter": "2026-01-01T00:00:00Z"})
    await world.settle(keys.restore(world.namespace, "late"))
    status = (await world.get(RESTORE_REQUEST, "late"))["status"]
    assert (status["phase"], status["conditions"][0]["reason"]) == ("Refused", "TooLate")


async def test_a_directory_of_a_claim_is_copied_into_another_claim_and_back(world: World) -> None:
    await world.claim("data")
    await world.claim("backups")
    data = world.claims / world.namespace / "data"
    (data / "files").mkdir()
    (data / "files/a").write_text("one")
    (data / "cache").write_text("not this")
    await world.policy(
        source={"claims": {"names": ["data"], "subPath": "files"}},
        rolling={
            "destination": {"claim": {"name": "backups", "subPath": "copies"}},
            "allowSameFileSystem": True,
        },
    )

    done = await world.run()

    assert done["status"]["phase"] == "Completed", done["status"]
    assert done["status"]["points"][0]["claim"] == "data/files"
    assert {objects.namespace(j) for j in world.node.ran} == {world.namespace}
    kept = world.claims / world.namespace / "backups/copies" / world.namespace / "uploads"
    (copy,) = kept.glob("*/trees/*/data")
    assert [p.name for p in copy.iterdir()] == ["a"]

    target = {"claim": {"name": "data", "subPath": "restored"}}
    spec = {"from": {"backup": objects.name(done)}, "directory": target}
    await world.create(RESTORE_REQUEST, "back", spec)
    await world.settle(keys.restore(world.namespace, "back"))
    assert (data / "restored/a").read_text() == "one"


async def test_a_claim_in_use_on_a_node_takes_its_job_there(world: World) -> None:
    await world.claim("data")
    await world.claim("backups")
    (world.claims / world.namespace / "data/a").write_text("one")
    await world.pod("uses-data", "data", WORKER)
    await world.policy(
        source={"claims": {"names": ["data"]}},
        rolling={"destination": {"claim": {"name": "backups"}}, "allowSameFileSystem": True},
    )
    done = await world.run()
    assert done["status"]["phase"] == "Completed", done["status"]
    (job,) = [j for j in world.node.ran if "-copy-" in objects.name(j)]
    assert WORKER in json.dumps(dig(job, "spec", "template", "spec", "affinity"))


async def test_two_tenants_with_one_destination_have_folders_of_their_own(world: World) -> None:
    await world.policy()
    mine = await world.run()
    first, world.namespace = world.namespace, f"{world.namespace}-2"
    await world.client.create(NAMESPACE, {"metadata": {"name": world.namespace}})
    await world.policy()
    theirs = await world.run()

    folders = sorted(p.name for p in world.backup.iterdir() if p.is_dir())
    assert folders == [first, world.namespace]
    assert all((world.backup / name).stat().st_mode & 0o777 == 0o700 for name in folders)
    spec = {"from": {"backup": objects.name(mine)}, "directory": {"path": f"{world.source}/x"}}
    await world.create(RESTORE_REQUEST, "foreign", spec)
    await world.settle(keys.restore(world.namespace, "foreign"))
    status = (await world.get(RESTORE_REQUEST, "foreign"))["status"]
    assert status["conditions"][0]["reason"] == "BackupNotFound"
    assert theirs["status"]["phase"] == "Completed"


async def test_a_scrub_tells_rot_in_a_condition(world: World) -> None:
    rolling = {
        "destination": {"hostPath": str(world.backup)},
        "allowSameFileSystem": True,
        "scrub": {"days": 1},
    }
    await world.policy(rolling=rolling)
    await world.run()
    (path,) = world.points().values()
    file = path.parent.parent / path.stem / "a"
    before = file.stat()
    file.write_text("eno")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    await world.scrub_again()

    policy = await world.get(BACKUP_POLICY, "uploads")
    rot = next(c for c in policy["status"]["conditions"] if c["type"] == "Rot")
    assert (rot["status"], rot["reason"]) == ("True", "RotFound")
    assert "1 not as recorded" in rot["message"]
    assert policy["status"]["copies"][0]["rot"] == 1


async def test_the_plugin_shows_copies_and_why_they_are_kept(
    world: World, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await world.policy(retention={"daily": 7})
    await world.run(slot=-1)
    (stamp,) = world.points()
    command = ["retention", "uploads", "-n", world.namespace, "--kubeconfig", str(kubeconfig)]

    code = await asyncio.to_thread(kubectl_backstay, [*command, "-o", "json"])

    (line,) = json.loads(capsys.readouterr().out)
    assert code == 0
    assert (line["name"], line["delete"]) == (stamp, False)
    assert "newest good" in line["reasons"]
