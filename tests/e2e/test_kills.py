"""The operator is killed in every phase, right before each write: the next one ends the work,
with one snapshot, not two, and nothing good that is not.
"""

from __future__ import annotations

import pytest
from tests.e2e import operator_pod
from tests.e2e.disks import Disks
from tests.e2e.kube import Obj
from tests.e2e.shop import DUMPING, Shop, ours

pytestmark = pytest.mark.alone("kills the operator of all namespaces, and refuses its writes")


@pytest.fixture(scope="module", autouse=True)
def a_policy(shop: Shop) -> None:
    shop.policy()


def test_killed_while_dumping(shop: Shop) -> None:
    with shop.dump_held() as name:
        operator_pod.kill(shop.kubectl)
        assert shop.sql(DUMPING) == "1", "the same pg_dump runs on without its operator"
    _ended_right(shop, name)


def test_killed_while_the_driver_takes_its_snapshot(shop: Shop, disks: Disks) -> None:
    with disks.fault("create-snapshot-delay", "15", shop.volume()):
        name = shop.backup()
        shop.kubectl.until_phase("backups.backstay.dev", name, "Snapshotting")
        operator_pod.kill(shop.kubectl)
    _ended_right(shop, name)


def test_killed_while_the_snapshot_gets_ready(shop: Shop, disks: Disks) -> None:
    with disks.fault("ready-delay", "15", shop.volume()):
        name = shop.backup()
        shop.kubectl.until_phase("backups.backstay.dev", name, "Uploading")
        operator_pod.kill(shop.kubectl)
    _ended_right(shop, name)


def test_killed_between_the_content_and_the_verdict(shop: Shop) -> None:
    good = "has(object.metadata.labels) && object.metadata.labels['backstay.dev/result'] == 'good'"
    with operator_pod.refused(
        shop.kubectl, "UPDATE", "volumesnapshots.snapshot.storage.k8s.io", good
    ):
        name = shop.backup()
        shop.kubectl.until(
            "the content to be Retain and labelled",
            lambda: any(ours(c).get("backup") == name for c in shop.contents()),
        )
        (snapshot,) = shop.snapshots_of(name)
        assert ours(snapshot)["result"] == "pending"
        operator_pod.kill(shop.kubectl)
    _ended_right(shop, name)


def test_killed_between_the_verdict_and_completed(shop: Shop) -> None:
    completed = "has(object.status) && object.status.phase == 'Completed'"
    with operator_pod.refused(shop.kubectl, "UPDATE", "backups.backstay.dev/status", completed):
        name = shop.backup()
        shop.kubectl.until(
            "the snapshot to be good",
            lambda: [s for s in shop.snapshots_of(name) if ours(s)["result"] == "good"],
        )
        assert shop.kubectl.get("backups.backstay.dev", name)["status"]["phase"] == "Uploading"
        operator_pod.kill(shop.kubectl)
    _ended_right(shop, name)


CONTENTS = "volumesnapshotcontents.snapshot.storage.k8s.io"
SWEEP_STEPS = {
    "before the snapshot goes": ("DELETE", "volumesnapshots.snapshot.storage.k8s.io", "true"),
    "before the content may delete": (
        "UPDATE",
        CONTENTS,
        "object.spec.deletionPolicy == 'Delete'",
    ),
    "before the content goes": ("DELETE", CONTENTS, "true"),
}


@pytest.mark.parametrize("step", SWEEP_STEPS)
def test_killed_while_sweeping(shop: Shop, disks: Disks, step: str) -> None:
    old, newest = shop.one_after_another(2)
    (snapshot,) = shop.snapshots_of(old)
    content = shop.content(snapshot)
    verb, resource, when = SWEEP_STEPS[step]

    with operator_pod.refused(shop.kubectl, verb, resource, when):
        shop.label(snapshot["metadata"]["name"], delete_after="2020-01-01")
        shop.touch_policy()
        shop.kubectl.until(
            "the sweep to stand before the refused write", lambda: _stands(shop, content, step), 60
        )
        operator_pod.kill(shop.kubectl)
        assert disks.has(content)

    shop.kubectl.until(
        "the sweep to be finished by the next operator",
        lambda: (
            not shop.kubectl.find("volumesnapshotcontent", content["metadata"]["name"])
            and not shop.snapshots_of(old)
            and not disks.has(content)
        ),
        120,
    )
    (kept,) = shop.snapshots_of(newest)
    assert disks.has(shop.content(kept))


def test_killed_while_restoring(shop: Shop) -> None:
    name = shop.backup()
    shop.finished(name)
    with operator_pod.refused(shop.kubectl, "CREATE", "persistentvolumeclaims."):
        request = shop.restore({"backup": name}, "after-kill")
        shop.kubectl.until(
            "the request to say what holds it up",
            lambda: (
                "refused by a test"
                in shop.kubectl.get("restorerequests", request)["status"].get("message", "")
            ),
        )
        operator_pod.kill(shop.kubectl)
        assert not shop.kubectl.find("persistentvolumeclaim", "after-kill")
    done = shop.restored(request)
    assert "sha256 as recorded" in done["status"]["message"]
    (snapshot,) = shop.snapshots_of(name)
    assert "backstay.dev/in-use" not in snapshot["metadata"]["annotations"]


def _stands(shop: Shop, content: Obj, step: str) -> bool:
    """Whether the sweep of this content has come to the write that this step refuses."""
    found = shop.kubectl.get("volumesnapshotcontent", content["metadata"]["name"])
    proven = "backstay.dev/swept" in found["metadata"].get("labels", {})
    ref = content["spec"]["volumeSnapshotRef"]
    gone = not shop.kubectl.find("volumesnapshot", ref["name"])
    if step == "before the snapshot goes":
        return _is_due(found) and not proven and not gone
    if step == "before the content may delete":
        return proven and gone
    return gone and found["spec"]["deletionPolicy"] == "Delete"


def _is_due(content: Obj) -> bool:
    """Whether the date is mirrored, so that the sweep comes next, and Retain."""
    return "delete-after" in ours(content) and content["spec"]["deletionPolicy"] == "Retain"


def _ended_right(shop: Shop, name: str) -> None:
    """The run is Completed in its first attempt, with exactly one snapshot, which is good."""
    done = shop.finished(name, seconds=150)
    assert done["status"]["attempt"] == 1
    (snapshot,) = shop.snapshots_of(name)
    assert ours(snapshot)["result"] == "good"
    content = shop.content(snapshot)
    assert content["spec"]["deletionPolicy"] == "Retain"
    (dump,) = done["status"]["dumps"]
    assert dump["state"] == "Done"
