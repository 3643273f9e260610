"""Rolling copies of directories on a real cluster with two nodes.

What needs no node is in tests/api/test_rolling*.py, with the same agent.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e import operator_pod
from tests.e2e.kube import Kube, Obj
from tests.e2e.rolling import CLUSTER, DESTINATION, NODE, OTHER_NODE, SOURCES, Uploads
from tests.e2e.shop import API, IMAGE

from backstay.cli import main

HOME = operator_pod.NAMESPACE
PREFIX = "backstay.dev/"


@pytest.fixture(scope="module", autouse=True)
def destination(kubectl: Kube) -> None:
    """Make the nodes' disk usable, as an administrator does it."""
    if os.environ.get("BACKSTAY_E2E_KUBECONFIG"):
        pytest.skip("only the local cluster's nodes have directories that can be looked at here")
    SOURCES.mkdir(parents=True, exist_ok=True)
    DESTINATION.mkdir(parents=True, exist_ok=True)
    command = ["init-destination", "--node", NODE, "--path", str(DESTINATION)]
    assert main([*command, "--kubeconfig", str(kubectl.kubeconfig)]) == 0


@pytest.fixture
def uploads(kubectl: Kube) -> Iterator[Uploads]:
    with _uploads(kubectl) as found:
        yield found


def _uploads(kubectl: Kube) -> Uploads:
    return Uploads(kubectl.within(f"e2e-{secrets.token_hex(4)}"))


@pytest.fixture
def cordoned(kubectl: Kube) -> Iterator[str]:
    """Return a node that takes no Pods but those that insist."""
    kubectl.run("cordon", OTHER_NODE)
    yield OTHER_NODE
    kubectl.run("uncordon", OTHER_NODE)


def test_a_run_lands_on_the_named_node_also_while_that_is_cordoned(
    uploads: Uploads, cordoned: str
) -> None:
    uploads.write(a="one", sub__b="two")
    uploads.policy(node=cordoned)

    done = uploads.finished(uploads.backup())

    copy = uploads.copy(done)
    assert (copy / "a").read_text() == "one"
    assert (copy / "sub/b").read_text() == "two"
    assert {p["spec"]["nodeName"] for p in _pods(uploads, "copy")} == {cordoned}


@pytest.mark.alone("kills the operator, and a node's kubelet and runtime")
def test_a_copy_survives_its_pod_the_operator_the_kubelet_and_the_runtime(uploads: Uploads) -> None:
    (uploads.source / "big").write_bytes(secrets.token_bytes(30_000_000))
    uploads.policy(
        rolling={
            "destination": {"hostPath": str(DESTINATION)},
            "allowSameFileSystem": True,
            "bandwidth": "2M",
        }
    )
    name = uploads.backup()
    first = uploads.kubectl.until("the copy to run", lambda: _running(uploads), 60)

    uploads.kubectl.within(HOME).run("delete", "pod", first, "--wait=false")
    operator_pod.kill(uploads.kubectl)
    second = uploads.kubectl.until("another Pod to copy", lambda: _running(uploads, first), 60)
    _restart("kubelet-1", "containerd-1")

    done = uploads.finished(name, seconds=150)
    assert second != first
    assert done["status"]["attempt"] == 1
    assert len(uploads.points()) == 1
    assert (uploads.copy(done) / "big").read_bytes() == (uploads.source / "big").read_bytes()
    assert {p["spec"]["nodeName"] for p in _pods(uploads, "copy")} == {NODE}


def test_a_missing_node_is_reported_and_nothing_is_copied_elsewhere(uploads: Uploads) -> None:
    uploads.write(a="one")
    uploads.policy(node="nowhere")

    failed = uploads.finished(uploads.backup(), "Failed")

    assert "there is no node nowhere" in failed["status"]["message"]
    policy = uploads.kubectl.get("backuppolicy", "uploads")
    ready = next(c for c in policy["status"]["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "NodeNotFound")
    assert not _pods(uploads)
    assert not uploads.points()


def test_tenants_with_one_destination_never_see_each_other(uploads: Uploads, kubectl: Kube) -> None:
    with _uploads(kubectl) as other:
        other.write(theirs="of others")
        other.policy()
        theirs = other.finished(other.backup())
        (uploads.source / "in").symlink_to(other.source)
        (uploads.source / "copies").symlink_to(DESTINATION / other.name)
        uploads.policy()
        mine = uploads.finished(uploads.backup())
        uploads.policy("in", source={"hostPath": {"path": f"{uploads.source}/in", "node": NODE}})
        refused = uploads.finished(uploads.backup("in"), "Failed")

        assert (other.copy(theirs) / "theirs").read_text() == "of others"
        assert sorted(p.name for p in uploads.copy(mine).iterdir()) == ["copies", "in"]
        assert "symlink" in refused["status"]["message"]
        assert not [p for p in (DESTINATION / uploads.name).rglob("theirs") if not p.is_symlink()]
        assert (DESTINATION / other.name).stat().st_mode & 0o777 == 0o700


def test_a_dated_copy_is_pruned_and_the_other_restored(uploads: Uploads) -> None:
    uploads.write(a="one", b="two")
    uploads.policy(retention={"last": 1})
    old = uploads.finished(uploads.backup(keepDays=1))
    uploads.write(a="changed")
    new = uploads.finished(uploads.backup(keepDays=1))
    (folder,) = uploads.folders()
    stamp = old["status"]["points"][0]["ref"]
    path = folder / "points" / f"{stamp}.json"
    point = json.loads(path.read_text())
    point["labels"][PREFIX + "delete-after"] = "2020-01-01"
    # No date is followed within a day of becoming good: the copy is made old.
    point["taken"] = "2020-01-01T00:00:00+00:00"
    path.write_text(json.dumps(point))
    gone = old["metadata"]["name"]
    ended = json.dumps({"status": {"completedAt": "2020-01-01T00:00:00Z"}})
    uploads.kubectl.run(
        *("patch", "backups.backstay.dev", gone, "--subresource", "status"),
        *("--type", "merge", "--patch", ended),
    )

    uploads.kubectl.patch(
        "backuppolicy", "uploads", {"metadata": {"annotations": {PREFIX + "rebuild": "now"}}}
    )
    uploads.kubectl.until(
        "the copy and its record to go",
        lambda: not path.exists() and not uploads.kubectl.find("backups.backstay.dev", gone),
        90,
    )

    assert (uploads.copy(new) / "b").read_text() == "two"
    target = f"{uploads.source}/restored"
    request = _restore(uploads, new, {"path": target, "paths": ["a"]})
    uploads.kubectl.until_phase("restorerequest", request, "Completed", seconds=90)
    assert [p.name for p in (uploads.source / "restored").iterdir()] == ["a"]
    assert (uploads.source / "restored/a").read_text() == "changed"


def test_a_claim_is_copied_into_another_where_its_pod_runs(uploads: Uploads) -> None:
    uploads.kubectl.apply(_claim("data"), _claim("backups"), _writer("data"))
    uploads.kubectl.run("wait", "pod/writer", "--for=condition=Ready", "--timeout=60s")
    uploads.policy(
        source={"claims": {"names": ["data"]}},
        rolling={"destination": {"claim": {"name": "backups"}}, "allowSameFileSystem": True},
    )

    done = uploads.finished(uploads.backup())

    (entry,) = done["status"]["points"]
    assert (entry["source"], entry["result"]) == ("data", "good")
    writer = uploads.kubectl.get("pod", "writer")
    pods = [p for p in uploads.kubectl.list("pods") if "-copy-" in p["metadata"]["name"]]
    assert {p["spec"]["nodeName"] for p in pods} == {writer["spec"]["nodeName"]}
    request = _restore(uploads, done, {"claim": {"name": "data", "subPath": "back"}})
    uploads.kubectl.until_phase("restorerequest", request, "Completed", seconds=90)
    assert uploads.kubectl.exec("writer", "cat", "/data/back/a").strip() == "one"


def _pods(uploads: Uploads, verb: str = "") -> list[Obj]:
    """The Pods of the agent that work on this namespace's directories."""
    selector = f"{PREFIX}namespace={uploads.name}"
    found = uploads.kubectl.within(HOME).list("pods", "--selector", selector)
    return [p for p in found if f"-{verb}-" in p["metadata"]["name"] or not verb]


def _running(uploads: Uploads, other_than: str = "") -> str | None:
    for pod in _pods(uploads, "copy"):
        name: str = pod["metadata"]["name"]
        if pod["status"]["phase"] == "Running" and name != other_than:
            return name
    return None


def _restart(*services: str) -> None:
    """Kill services of the local cluster (SIGKILL), and have the kit start them again."""
    text = subprocess.run(
        [CLUSTER, "status", "-o", "json"], check=False, capture_output=True, text=True
    ).stdout
    processes: dict[str, Any] = json.loads(text)["processes"]
    for name in services:
        os.kill(processes[name], signal.SIGKILL)
    subprocess.run([CLUSTER, "up"], check=True, capture_output=True)


def _restore(uploads: Uploads, done: Obj, directory: Obj) -> str:
    name = f"back-{secrets.token_hex(3)}"
    spec = {"from": {"backup": done["metadata"]["name"]}, "directory": directory}
    metadata = {"name": name, "namespace": uploads.name}
    uploads.kubectl.create(
        {"apiVersion": API, "kind": "RestoreRequest", "metadata": metadata, "spec": spec}
    )
    return name


def _claim(name: str) -> Obj:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": spec,
    }


def _writer(claim: str) -> Obj:
    """A Pod that has put a file into the claim and goes on using it."""
    container = {
        "name": "writer",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", "echo one > /data/a && exec sleep 3600"],
        "securityContext": {"runAsUser": 0},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": claim}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "writer"},
        "spec": {"containers": [container], "volumes": [volume]},
    }
