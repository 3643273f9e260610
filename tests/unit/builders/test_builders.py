"""What is sent to the API server is what its schemas allow."""

from __future__ import annotations

import json
from typing import Any

import kubernetes_validate
import pytest

from backstay.agent.commands.verify_claim import Task
from backstay.builders.restore import NOBODY, from_snapshot, restored_claim, verify_pod
from backstay.builders.snapshot import metadata_patch, volume_snapshot
from backstay.domain.objects import Obj

VERSION = "1.35"
OWNER: Obj = {
    "apiVersion": "backstay.dev/v1alpha1",
    "kind": "RestoreRequest",
    "metadata": {"name": "back", "namespace": "team", "uid": "u-1"},
}
DUMPS = [{"name": "shop", "path": "backstay/shop.dump", "bytes": 5, "sha256": "a" * 64}]


def valid(kind: str, body: Obj) -> Obj:
    """The body as the client posts it, or the schema's refusal of it: unknown fields included."""
    whole = {"apiVersion": "v1", "kind": kind, **body}
    kubernetes_validate.validate(whole, VERSION, strict=True)
    return body


def pod(**values: Any) -> Obj:
    defaults: dict[str, Any] = {
        "name": "verify-1f0c5a7e-data",
        "namespace": "team",
        "claim": "data-new",
        "image": "backstay:test",
        "pull_policy": "IfNotPresent",
        "owner": OWNER,
        "dumps": DUMPS,
        "user": 999,
        "group": 998,
        "block": False,
    }
    return valid("Pod", verify_pod(**defaults | values))


def claim(**values: Any) -> Obj:
    defaults: dict[str, Any] = {
        "name": "data-new",
        "namespace": "team",
        "data_source": from_snapshot("data-1"),
        "storage_class": "fast",
        "access_modes": ("ReadWriteOnce",),
        "volume_mode": "Filesystem",
        "size": "1Gi",
        "labels": {"backstay.dev/restoring": "u-1"},
        "annotations": {"backstay.dev/restore-request": "u-1"},
    }
    return valid("PersistentVolumeClaim", restored_claim(**defaults | values))


def test_the_schemas_would_refuse_a_mistake() -> None:
    wrong = verify_pod(
        name="v", namespace="t", claim="c", image="i", pull_policy="Always", owner=OWNER,
        dumps=[], user=None, group=None, block=False,
    )  # fmt: skip
    wrong["spec"]["restartpolicy"] = "Never"

    with pytest.raises(kubernetes_validate.ValidationError, match="restartpolicy"):
        valid("Pod", wrong)


def test_a_claim_is_made_from_its_snapshot() -> None:
    spec = claim()["spec"]

    assert spec["dataSource"] == {
        "apiGroup": "snapshot.storage.k8s.io",
        "kind": "VolumeSnapshot",
        "name": "data-1",
    }
    assert spec["resources"] == {"requests": {"storage": "1Gi"}}
    assert (spec["storageClassName"], spec["volumeMode"]) == ("fast", "Filesystem")


def test_what_is_not_known_of_a_claim_is_left_to_the_cluster() -> None:
    spec = claim(storage_class=None, volume_mode=None)["spec"]

    assert not {"storageClassName", "volumeMode"} & spec.keys()


def test_an_empty_class_is_a_class() -> None:
    assert claim(storage_class="")["spec"]["storageClassName"] == ""


def test_a_verify_pod_reads_the_claim_as_the_dumps_owner_and_can_do_nothing_else() -> None:
    spec = pod()["spec"]
    (container,) = spec["containers"]

    assert spec["securityContext"] == {
        "runAsUser": 999,
        "runAsGroup": 998,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert spec["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["volumeMounts"] == [
        {"name": "restored", "mountPath": "/restored", "readOnly": True}
    ]
    assert spec["volumes"][0]["persistentVolumeClaim"] == {"claimName": "data-new"}


def test_a_verify_pods_task_is_one_that_the_agent_reads() -> None:
    (container,) = pod()["spec"]["containers"]
    *command, task = container["command"]

    assert command == ["python3", "-m", "backstay.agent", "verify"]
    read = Task.parse(task)
    assert str(read.mount) == container["volumeMounts"][0]["mountPath"]
    assert [(d.name, d.path, d.bytes, d.sha256) for d in read.dumps] == [tuple(DUMPS[0].values())]
    assert json.loads(task)["dumps"] == DUMPS


def test_without_a_dump_the_pod_is_nobody() -> None:
    security = pod(dumps=[], user=None, group=None)["spec"]["securityContext"]

    assert (security["runAsUser"], security["runAsGroup"]) == (NOBODY, NOBODY)
    assert security["runAsNonRoot"] is True


def test_a_dump_of_root_is_read_as_root_without_capabilities() -> None:
    spec = pod(user=0, group=0)["spec"]

    assert spec["securityContext"]["runAsNonRoot"] is False
    assert spec["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_a_block_volume_is_attached_and_not_mounted() -> None:
    (container,) = pod(block=True, dumps=[])["spec"]["containers"]

    assert container["volumeDevices"] == [{"name": "restored", "devicePath": "/dev/restored"}]
    assert "volumeMounts" not in container


def test_a_verify_pod_goes_with_its_request_and_a_snapshot_with_nobody() -> None:
    snapshot = volume_snapshot(
        name="data-1", namespace="team", claim="data", class_name="fast", labels={}, annotations={}
    )

    assert pod()["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "backstay.dev/v1alpha1",
            "kind": "RestoreRequest",
            "name": "back",
            "uid": "u-1",
        }
    ]
    assert "ownerReferences" not in snapshot["metadata"]


def test_a_snapshot_is_of_its_claim_and_class() -> None:
    snapshot = volume_snapshot(
        name="data-1",
        namespace="team",
        claim="data",
        class_name="fast",
        labels={"a": "1"},
        annotations={"b": "2"},
    )

    assert snapshot == {
        "metadata": {
            "name": "data-1",
            "namespace": "team",
            "labels": {"a": "1"},
            "annotations": {"b": "2"},
        },
        "spec": {
            "volumeSnapshotClassName": "fast",
            "source": {"persistentVolumeClaimName": "data"},
        },
    }


def test_a_patch_is_tested_and_names_only_what_changes() -> None:
    obj: Obj = {"metadata": {"name": "a", "resourceVersion": "7"}}

    assert metadata_patch(obj) == {"metadata": {"resourceVersion": "7"}}
    assert metadata_patch(
        obj, labels={"a": None}, annotations={"b": "1"}, spec={"deletionPolicy": "Retain"}
    ) == {
        "metadata": {"resourceVersion": "7", "labels": {"a": None}, "annotations": {"b": "1"}},
        "spec": {"deletionPolicy": "Retain"},
    }
