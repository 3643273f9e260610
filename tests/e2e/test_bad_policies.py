"""Bad input that only the cluster can judge: a clear message in Ready, and no crash.

What the API server refuses at apply is in tests/api/test_bad_input.py.
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.e2e.shop import CLAIM, DUMP, Shop, policy

DUMPS = policy("any")["spec"]["dumps"]

BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "a day that never comes": (
        {"schedule": {"cron": "0 0 31 2 *"}},
        "InvalidSchedule",
        "spec.schedule.cron",
    ),
    "an unknown zone": (
        {"schedule": {"cron": "@daily", "timeZone": "Europe/Atlantis"}},
        "InvalidTimeZone",
        "Europe/Atlantis",
    ),
    "a selector that matches nothing": (
        {"source": {"claims": {"selector": {"matchLabels": {"no": "where"}}}}},
        "NoClaims",
        "no=where",
    ),
    "a claim that does not exist": (
        {"source": {"claims": {"names": ["nothing"]}}},
        "ClaimNotFound",
        "there is no PersistentVolumeClaim nothing",
    ),
    "a claim that is not CSI": (
        {"source": {"claims": {"names": ["plain"]}}, "dumps": None},
        "ClaimNotCSI",
        "not a CSI volume",
    ),
    "a class of another driver": (
        {"snapshot": {"className": "other-driver"}},
        "ClassOfAnotherDriver",
        "choose one of btrfs-delete, btrfs-retain",
    ),
    "a class that does not exist": (
        {"snapshot": {"className": "nothing"}},
        "ClassNotFound",
        "there is no VolumeSnapshotClass nothing",
    ),
    "a missing target": (
        {"dumps": [DUMPS[0] | {"target": {"kind": "StatefulSet", "name": "nothing"}}]},
        "TargetNotFound",
        "there is no StatefulSet nothing",
    ),
    "a container that does not exist": (
        {
            "dumps": [
                DUMPS[0] | {"target": {"kind": "StatefulSet", "name": "pg", "container": "nothing"}}
            ]
        },
        "ContainerNotFound",
        "has no container nothing",
    ),
    "a file outside the run's claims": (
        {"dumps": [DUMPS[0] | {"file": "/tmp/shop.dump"}]},
        "FileOutsideClaims",
        "/tmp/shop.dump",
    ),
}


@pytest.fixture(scope="module", autouse=True)
def a_plain_claim(shop: Shop) -> None:
    """Bind a claim to a volume of the node's disk, which no CSI driver made."""
    volume = f"plain-{shop.name}"
    size = {"storage": "1Gi"}
    shop.kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {
                "capacity": size,
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "",
                "persistentVolumeReclaimPolicy": "Delete",
                "hostPath": {"path": "/tmp/plain"},
                "claimRef": {"namespace": shop.name, "name": "plain"},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "plain", "namespace": shop.name},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "",
                "volumeName": volume,
                "resources": {"requests": size},
            },
        },
    )
    shop.kubectl.run("wait", "pvc/plain", "--for=jsonpath={.status.phase}=Bound", "--timeout=30s")


@pytest.mark.parametrize("case", BAD)
def test_a_policy_that_cannot_run_says_why_in_ready(shop: Shop, case: str) -> None:
    changes, reason, words = BAD[case]
    name = case.replace(" ", "-").replace("'", "").lower()
    shop.policy(name, **changes)
    condition = shop.ready(name)
    assert (condition["status"], condition["reason"]) == ("False", reason), condition
    assert words in condition["message"]


@pytest.mark.parametrize("length", [64, 200])
def test_a_long_policy_name_works_to_the_end(shop: Shop, length: int) -> None:
    name = "p" * length
    shop.policy(name)
    backup = shop.backup(policy=name)
    done = shop.finished(backup)
    (snapshot,) = [
        s
        for s in shop.snapshots()
        if s["metadata"]["annotations"].get("backstay.dev/policy") == name
    ]
    assert done["status"]["points"][0]["ref"] == snapshot["metadata"]["name"]


@pytest.mark.parametrize("length", [64, 200])
def test_a_long_claim_name_works_to_the_end(shop: Shop, length: int) -> None:
    """The claim is filled by a restore, backed up under its long name, and restored again."""
    shop.policy()
    first = shop.backup()
    shop.finished(first)
    long = "c" * length
    shop.restored(shop.restore({"backup": first}, long))

    shop.policy("long-claim", source={"claims": {"names": [long]}}, dumps=None)
    second = shop.backup(policy="long-claim")
    shop.finished(second)
    shop.restored(shop.restore({"backup": second}, f"again-{length}", claim=long))


def test_a_run_of_a_bad_policy_fails_with_the_same_words(shop: Shop) -> None:
    shop.policy("astray", dumps=[DUMPS[0] | {"file": "/tmp/shop.dump"}])
    failed = shop.finished(shop.backup(policy="astray"), "Failed")
    assert "spec.dumps[shop].file: /tmp/shop.dump" in failed["status"]["message"]
    assert DUMP not in failed["status"]["message"]
    assert CLAIM not in str(failed["status"].get("points", ""))
