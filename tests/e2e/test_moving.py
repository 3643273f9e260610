"""The how-tos for moving from backup-ns and for rebinding orphans, run command by command."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.kube import Kube, Obj
from tests.e2e.shop import CLAIM, Shop
from tests.support.guides import Guide

THEIRS = "backup-ns.sh/"
PRUNE = ["/bin/bash", "-c", "/app/retain.sh && /app/mark-and-delete.sh"]


def cronjob(namespace: str, name: str, *command: str) -> Obj:
    """A CronJob of backup-ns that never comes to run here."""
    container = {"name": name, "image": "backup-ns:v0.3.0", "command": list(command)}
    pod = {"restartPolicy": "Never", "containers": [container]}
    spec = {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": {"spec": pod}}}}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


@pytest.fixture
def pruner(kubectl: Kube) -> Iterator[None]:
    """Have the pruner of backup-ns in the namespace of its manifests."""
    kubectl.run("create", "namespace", "backup-ns")
    kubectl.within("backup-ns").apply(cronjob("backup-ns", "pruner", *PRUNE))
    yield
    kubectl.run("delete", "namespace", "backup-ns", "--wait=false")


def theirs(shop: Shop, name: str, class_name: str, **labels: str) -> None:
    """A snapshot as `backup-ns create` makes it."""
    carried = {"pvc": CLAIM, "type": "cronjob", "retain": "daily_weekly_monthly"} | labels
    shop.kubectl.apply(
        {
            "apiVersion": "snapshot.storage.k8s.io/v1",
            "kind": "VolumeSnapshot",
            "metadata": {
                "name": name,
                "namespace": shop.name,
                "labels": {THEIRS + k.replace("_", "-"): v for k, v in carried.items()},
            },
            "spec": {
                "volumeSnapshotClassName": class_name,
                "source": {"persistentVolumeClaimName": CLAIM},
            },
        }
    )
    shop.kubectl.run(
        "wait", "volumesnapshot", name, "--for=jsonpath={.status.readyToUse}=true", "--timeout=60s"
    )


def adopted(shop: Shop) -> dict[str, Any]:
    found = shop.kubectl.get("backuppolicy", "shop").get("status", {}).get("conditions", [])
    return next((c for c in found if c["type"] == "Adopted"), {})


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("pruner")
def test_a_namespace_moves_is_lost_and_comes_back(
    kubectl: Kube, namespace: Shop, tmp_path: Path
) -> None:
    shop = namespace
    move = Guide("move-from-backup-ns.md", kubectl.kubeconfig, tmp_path)
    shop.start_database()
    theirs(shop, "data-1", "btrfs-retain", retain="days", delete_after="soon")
    theirs(shop, "data-2", "btrfs-delete", weekly="2026-w47")
    theirs(shop, "data-3", "btrfs-retain", daily="2020-01-01")
    shop.kubectl.apply(cronjob(shop.name, "backup", "/app/backup-ns", "create"))
    ns = {"ns": shop.name}

    policy = yaml.safe_load(move.text("kind: BackupPolicy", "yaml"))
    policy["metadata"]["namespace"] = shop.name
    policy["spec"]["source"]["claims"]["names"] = [CLAIM]
    policy["spec"]["snapshot"] = {"className": "btrfs-retain"}
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(policy), encoding="utf-8")
    said = move.run("--snapshots snapshots.json", {}, **ns)
    assert "malformed" in said

    # given the pruner still runs: the policy says so, and nothing is touched
    shop.kubectl.apply(policy)
    refused = shop.kubectl.until("the refusal to be reported", lambda: adopted(shop), 60)
    assert (refused["reason"], shop.snapshots(policy="shop")) == ("PrunerRunning", [])

    move.run("kubectl patch cronjob pruner", {}, **ns)
    shop.touch_policy()
    move.run("kubectl apply -f policy.yaml", {}, **ns)
    assert f"CronJob {shop.name}/backup still makes" in move.run(
        "jsonpath='{.status.cond", {}, **ns
    )
    shop.kubectl.until("all three to be adopted", lambda: len(shop.snapshots(result="good")) == 3)
    shown = move.run("-L backstay.dev/daily", {}, **ns)
    assert shown.count("Completed") == 3
    for snapshot in shop.snapshots(policy="shop"):
        content = shop.kubectl.until("the mirror", partial(mirrored, shop, snapshot), 60)
        assert content["spec"]["deletionPolicy"] == "Retain"
    imported = shop.snapshots(policy="shop")[0]["metadata"]["labels"]["backstay.dev/backup"]
    shop.restored(shop.restore({"backup": imported}, "from-theirs"))
    move.run("first-of-backstay", {}, **ns)
    before = {b["metadata"]["name"] for b in shop.kubectl.list("backups.backstay.dev")}
    assert len(before) == 4

    # when the namespace is deleted and made again
    kubectl.run("delete", "namespace", shop.name, "--timeout=110s")
    lost = [c["metadata"]["name"] for c in shop.contents()]
    assert len(lost) == 4
    kubectl.run("create", "namespace", shop.name)
    rebind = Guide("rebind-an-orphan.md", kubectl.kubeconfig, tmp_path)
    listed = rebind.run("orphans -A", {})
    assert all(name in listed for name in lost)
    for content in lost:
        rebind.run("pair.tmpl", {}, content=content)
        rebind.run("kubectl wait -f pair.yaml", {}, content=content)
    assert rebind.run("orphans -A", {"-A": f"-n {shop.name}"}) == "No orphans.\n"

    # then the policy brings back its records, and a backup restores
    shop.kubectl.apply(policy)
    shop.kubectl.until("the records to be back", lambda: len(names(shop)) == 4)
    assert names(shop) == before
    shop.finished("first-of-backstay")
    shop.restored(shop.restore({"backup": imported}, "once-more"))
    kubectl.within(shop.name).run("delete", "backups.backstay.dev", "--all")
    rebind.run("backstay.dev/rebuild=true", {"-n shop": f"-n {shop.name}"})
    shop.kubectl.until("the records to be back again", lambda: names(shop) == before)


def names(shop: Shop) -> set[str]:
    return {b["metadata"]["name"] for b in shop.kubectl.list("backups.backstay.dev")}


def mirrored(shop: Shop, snapshot: Obj) -> Obj | None:
    content = shop.content(snapshot)
    return content if "backstay.dev/record" in content["metadata"].get("annotations", {}) else None
