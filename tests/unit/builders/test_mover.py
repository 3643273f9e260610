"""Jobs of repositories: what they see, and with which rights they run."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import kubernetes_validate
import pytest

from backstay.api.repository import RepositorySpec
from backstay.builders.mover import Mover, mover_job
from backstay.domain.jobs import Mount
from backstay.domain.objects import Obj, dig
from backstay.domain.stores.repository import tasks

MEGABYTES = 2**20


def spec(**values: Any) -> RepositorySpec:
    return RepositorySpec.model_validate({"secretRef": {"name": "s3"}, **values})


def job(found: RepositorySpec | None = None, *, rights: Obj | None = None, **values: Any) -> Obj:
    """The Job, which the schemas allow."""
    found = found or spec()
    mover = Mover("offsite", "0c5a7e11-0", found, **{"privileged": False, **(rights or {})})
    asked: dict[str, Any] = {
        "name": "offsite-open-1",
        "namespace": "team",
        "image": "backstay:test",
        "pull_policy": "Never",
        "mover": mover,
        "step": tasks.open_(found, ""),
        "mounts": (),
        "deadline": timedelta(minutes=5),
        "labels": {"backstay.dev/repository": "offsite"},
        "annotations": {"backstay.dev/run": "token"},
    }
    body = mover_job(**asked | values)
    whole = {"apiVersion": "batch/v1", "kind": "Job", **body}
    kubernetes_validate.validate(whole, "1.35", strict=True)
    return body


def pod(*args: Any, **values: Any) -> Obj:
    found: Obj = dig(job(*args, **values), "spec", "template", "spec")
    return found


def mounts(found: Obj) -> dict[str, Obj]:
    """By path: the volume, and whether it is read-only."""
    volumes = {v["name"]: v for v in found["volumes"]}
    (container,) = found["containers"]
    return {
        m["mountPath"]: {k: v for k, v in volumes[m["name"]].items() if k != "name"}
        | ({"ro": True} if m.get("readOnly") else {})
        for m in container["volumeMounts"]
    }


def test_a_mover_sees_its_secret_as_files_a_cache_and_nothing_else() -> None:
    assert mounts(pod()) == {
        "/run/backstay/secret": {"secret": {"secretName": "s3", "optional": True}, "ro": True},
        "/cache": {"emptyDir": {}},
        "/tmp": {"emptyDir": {}},
    }
    (container,) = pod()["containers"]
    assert [e["name"] for e in container["env"]] == ["BACKSTAY_TASK", "NODE_NAME"]


def test_maintenance_alone_has_the_secret_that_may_delete() -> None:
    found = spec(maintenanceSecretRef={"name": "s3-admin"})

    plain, maintenance = pod(found), pod(found, rights={"maintenance": True})

    assert dig(mounts(plain), "/run/backstay/secret", "secret", "secretName") == "s3"
    assert dig(mounts(maintenance), "/run/backstay/secret", "secret", "secretName") == "s3-admin"


@pytest.mark.parametrize(
    ("ca", "volume"),
    [
        (
            {"secretName": "tls"},
            {"secret": {"secretName": "tls", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        ),
        (
            {"configMapName": "tls", "key": "root.pem"},
            {"configMap": {"name": "tls", "items": [{"key": "root.pem", "path": "ca.crt"}]}},
        ),
    ],
)
def test_a_custom_ca_is_one_file_wherever_it_is_from(ca: Obj, volume: Obj) -> None:
    found = mounts(pod(spec(customCA=ca)))["/run/backstay/ca"]

    ((kind, source),) = volume.items()
    assert found == {kind: {**source, "optional": True}, "ro": True}


def test_a_repository_in_a_claim_is_below_the_claims_root() -> None:
    found = spec(claim={"name": "nfs", "subPath": "restic/shop"})

    assert mounts(pod(found))["/repository"] == {"persistentVolumeClaim": {"claimName": "nfs"}}
    task = json.loads(tasks.open_(found, "").task)
    assert task["repository"]["local"] == "/repository/restic/shop"


def test_a_read_only_repository_in_a_claim_cannot_be_written_to() -> None:
    found = pod(spec(claim={"name": "nfs"}, access="ReadOnly", initialise="Never"))

    assert mounts(found)["/repository"]["ro"]
    assert "fsGroup" not in found["securityContext"]


def test_a_cache_with_a_class_is_the_claim_of_this_repository() -> None:
    kept = spec(cache={"storageClassName": "fast", "size": "1Gi"})

    assert mounts(pod(kept))["/cache"] == {
        "persistentVolumeClaim": {"claimName": "offsite-cache-0c5a7"}
    }
    assert mounts(pod(kept, rights={"own_cache": True}))["/cache"] == {
        "emptyDir": {"sizeLimit": "1Gi"}
    }
    assert mounts(pod(spec(cache={"size": "64Mi"})))["/cache"] == {
        "emptyDir": {"sizeLimit": "64Mi"}
    }


def test_volumes_of_a_mover_are_below_mnt() -> None:
    more = [
        {"mountPath": "rclone", "secretName": "rclone"},
        {"mountPath": "ssh", "claimName": "keys", "readOnly": True},
        {"mountPath": "nfs", "nfs": {"server": "nas.example.com", "path": "/export"}},
    ]

    found = mounts(pod(spec(mover={"volumes": more})))

    assert found["/mnt/rclone"] == {"secret": {"secretName": "rclone"}, "ro": True}
    assert found["/mnt/ssh"] == {
        "persistentVolumeClaim": {"claimName": "keys", "readOnly": True},
        "ro": True,
    }
    assert found["/mnt/nfs"] == {
        "nfs": {"server": "nas.example.com", "path": "/export", "readOnly": False}
    }


RESTRICTED = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
ROOT = {"runAsUser": 0, "runAsGroup": 0, "seccompProfile": {"type": "RuntimeDefault"}}
BY_GROUP = {"fsGroup": 65532, "fsGroupChangePolicy": "OnRootMismatch"}
SECCOMP = {"seccompProfile": {"type": "RuntimeDefault"}}


@pytest.mark.parametrize(
    ("values", "privileged", "expected"),
    [
        ({}, False, RESTRICTED),
        ({}, True, ROOT),
        ({"claim": {"name": "nfs"}}, False, {**RESTRICTED, **BY_GROUP}),
        ({"claim": {"name": "nfs"}}, True, ROOT),
        ({"cache": {"storageClassName": "fast"}}, False, {**RESTRICTED, **BY_GROUP}),
        ({"mover": {"securityContext": {}}}, False, SECCOMP),
        (
            {"mover": {"securityContext": {"runAsUser": 26, "fsGroup": 26}}},
            False,
            {**SECCOMP, "runAsUser": 26, "fsGroup": 26},
        ),
        (
            {"mover": {"securityContext": {"runAsUser": 26}}},
            True,
            {**ROOT, "runAsUser": 26},
        ),
    ],
)
def test_who_a_mover_runs_as(values: Obj, privileged: bool, expected: Obj) -> None:
    found = pod(spec(**values), rights={"privileged": privileged})

    assert found["securityContext"] == expected


def test_data_that_is_mounted_never_changes_its_group() -> None:
    data = Mount("data", "/data", read_only=True, claim="data")

    found = pod(spec(claim={"name": "nfs"}), mounts=[data])

    assert found["securityContext"] == RESTRICTED
    assert mounts(found)["/data"] == {"persistentVolumeClaim": {"claimName": "data"}, "ro": True}


@pytest.mark.parametrize(("privileged", "added"), [(False, None), (True, 3)])
def test_only_a_privileged_mover_has_capabilities(privileged: bool, added: int | None) -> None:
    (container,) = pod(rights={"privileged": privileged})["containers"]

    rights = container["securityContext"]
    assert rights["allowPrivilegeEscalation"] is False
    assert rights["readOnlyRootFilesystem"] is True
    assert rights["capabilities"]["drop"] == ["ALL"]
    assert len(rights["capabilities"].get("add", ())) == (added or 0)


def test_a_mover_has_a_token_only_with_a_service_account() -> None:
    assert pod()["automountServiceAccountToken"] is False
    found = pod(spec(mover={"serviceAccountName": "irsa"}))
    assert found["automountServiceAccountToken"] is True
    assert found["serviceAccountName"] == "irsa"


def test_another_image_is_pulled_as_the_cluster_does() -> None:
    (ours,) = pod()["containers"]
    (other,) = pod(spec(mover={"image": "registry.example/mover:1"}))["containers"]

    assert (ours["image"], ours["imagePullPolicy"]) == ("backstay:test", "Never")
    assert other["image"] == "registry.example/mover:1"
    assert "imagePullPolicy" not in other


def test_resources_affinity_and_labels_are_passed_on() -> None:
    affinity: Obj = {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
    resources = {"limits": {"memory": "2Gi"}}
    labels = {"net": "s3", "backstay.dev/repository": "another"}

    found = job(spec(mover={"affinity": affinity, "resources": resources, "podLabels": labels}))

    template = found["spec"]["template"]
    assert template["spec"]["affinity"] == affinity
    assert template["spec"]["containers"][0]["resources"] == resources
    assert template["metadata"]["labels"] == {"net": "s3", "backstay.dev/repository": "offsite"}
    assert found["metadata"]["labels"] == {"backstay.dev/repository": "offsite"}


def test_a_node_that_has_the_data_is_the_only_one() -> None:
    affinity = {
        "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []},
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}]
            }
        },
    }

    found = pod(spec(mover={"affinity": affinity}), node="n1")["affinity"]

    assert "gpu" not in json.dumps(found)
    assert found["podAntiAffinity"] == affinity["podAntiAffinity"]
    (term,) = found["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert term["matchFields"][0]["values"] == ["n1"]


def test_a_failed_mover_is_not_repeated_by_the_cluster_unless_it_was_evicted() -> None:
    found = job()["spec"]

    assert found["backoffLimit"] == 0
    for_good, rule = found["podFailurePolicy"]["rules"]
    assert for_good == {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2, 3]}}
    assert rule["action"] == "Ignore"
    assert rule["onPodConditions"][0]["type"] == "DisruptionTarget"
    assert found["activeDeadlineSeconds"] == 300
