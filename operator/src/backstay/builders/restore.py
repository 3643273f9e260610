"""The claim and the verify pod of a restore."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from backstay.builders.jobs import reference
from backstay.domain.objects import Obj

MOUNT: Final = "/restored"
NOBODY: Final = 65532


def restored_claim(
    *,
    name: str,
    namespace: str,
    data_source: Obj | None,
    storage_class: str | None,
    access_modes: Sequence[str],
    volume_mode: str | None,
    size: str,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
) -> Obj:
    """Given names and a size (a Kubernetes quantity), return the claim, which its driver fills
    from the data source, if it has one.
    """
    spec: Obj = {
        "accessModes": list(access_modes),
        "resources": {"requests": {"storage": size}},
    }
    if data_source is not None:
        spec["dataSource"] = dict(data_source)
    if storage_class is not None:
        spec["storageClassName"] = storage_class
    if volume_mode is not None:
        spec["volumeMode"] = volume_mode
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": dict(labels),
            "annotations": dict(annotations),
        },
        "spec": spec,
    }


def from_snapshot(name: str) -> Obj:
    """Given a VolumeSnapshot, return the data source of a claim that its driver fills from it."""
    return {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": name}


def verify_pod(
    *,
    name: str,
    namespace: str,
    claim: str,
    image: str,
    pull_policy: str,
    owner: Obj,
    dumps: Sequence[Mapping[str, str | int]],
    user: int | None,
    group: int | None,
    block: bool,
) -> Obj:
    """Given a claim and its dumps on record, return the pod that mounts and verifies it.

    The pod is also the first consumer, which binds a claim of a WaitForFirstConsumer class. It
    runs as the owner of the dump file, the one user that can read it without any capability,
    so that it is admitted where Pod Security is `restricted`. A block volume is only attached.
    """
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            # A pod holds no data: it may go with its request, also when we are not running.
            "ownerReferences": [reference(owner)],
        },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": _as_owner(user, group),
            "containers": [_verifier(image, pull_policy, dumps, block=block)],
            "volumes": [{"name": "restored", "persistentVolumeClaim": {"claimName": claim}}],
        },
    }


def _as_owner(user: int | None, group: int | None) -> Obj:
    uid = NOBODY if user is None else user
    return {
        "runAsUser": uid,
        "runAsGroup": NOBODY if group is None else group,
        "runAsNonRoot": uid != 0,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _verifier(
    image: str, pull_policy: str, dumps: Sequence[Mapping[str, str | int]], *, block: bool
) -> Obj:
    task = json.dumps({"mount": MOUNT, "dumps": list(dumps)})
    container: Obj = {
        "name": "verify",
        "image": image,
        "imagePullPolicy": pull_policy,
        "command": ["python3", "-m", "backstay.agent", "verify", task],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {
            "requests": {"cpu": "10m", "memory": "32Mi"},
            "limits": {"memory": "128Mi"},
        },
    }
    if block:
        container["volumeDevices"] = [{"name": "restored", "devicePath": "/dev/restored"}]
        container["command"] = ["python3", "-c", "print('attached')"]
    else:
        container["volumeMounts"] = [{"name": "restored", "mountPath": MOUNT, "readOnly": True}]
    return container
