"""Deleting what people delete takes no backup with it, for a Retain and for a Delete class."""

from __future__ import annotations

from tests.e2e.disks import Disks
from tests.e2e.kube import Kube
from tests.e2e.shop import Shop


def test_policy_record_and_namespace_can_go_and_every_backup_stays(
    kubectl: Kube, namespace: Shop, disks: Disks
) -> None:
    namespace.start_database()
    contents = []
    for class_name in ("btrfs-retain", "btrfs-delete"):
        namespace.policy(class_name, snapshot={"className": class_name})
        backup = namespace.backup(policy=class_name)
        namespace.finished(backup)
        (snapshot,) = namespace.snapshots_of(backup)
        contents.append(namespace.content(snapshot))

        namespace.kubectl.run("delete", "backuppolicy", class_name, "--timeout=30s")
        namespace.kubectl.run("delete", "backups.backstay.dev", backup, "--timeout=30s")
        assert namespace.snapshots_of(backup), "policy and record are gone, the snapshot is not"

    kubectl.run("delete", "namespace", namespace.name, "--timeout=110s")

    assert not kubectl.find("namespace", namespace.name)
    for content in contents:
        kept = kubectl.get("volumesnapshotcontent", content["metadata"]["name"])
        assert "deletionTimestamp" not in kept["metadata"]
        assert kept["spec"]["deletionPolicy"] == "Retain"
        assert "backstay.dev/record" in kept["metadata"]["annotations"]
        assert disks.has(content)
