"""The Jobs of rolling copies: the agent beside the data, on one node, with nothing to spare.

Invariants: a Job is pinned to its node by the node's name, which no label can imitate; it has no
API token; of a node it sees the mounted directories only; a source is mounted read-only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from backstay.domain.objects import Obj
from backstay.domain.stores.copies.agent_tasks import Step
from backstay.domain.stores.copies.locations import Mount

CONTAINER: Final = "agent"
CAPABILITIES: Final = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "MKNOD",
    "SETFCAP",
    "SETGID",
    "SETUID",
    "SYS_CHROOT",
)
"""What it takes to read every file, to give a copy its owner, mode, capabilities and device nodes,
and to lock rsync in (design note 0014). Pod Security's baseline allows all of them.
"""
KEPT: Final = timedelta(hours=1)
"""A finished Job stays so long, for people to read its log."""
TRIES: Final = 3
"""Further Pods of one Job, after a Pod was deleted or the agent failed."""
NO_RETRY: Final = (2, 3)
"""Exit status of the agent for what another try cannot mend."""


def agent_job(
    *,
    name: str,
    namespace: str,
    node: str | None,
    image: str,
    pull_policy: str,
    steps: Sequence[Step],
    mounts: Sequence[Mount],
    deadline: timedelta,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    tries: int = TRIES,
) -> Obj:
    """Given where to run what and the directories that it needs, return the Job.

    The steps run one after the other, the last one's result is the Job's. Without a node the
    scheduler chooses one, as the claims allow. `deadline` runs from the Job's start and spans all
    its Pods.
    """
    containers = [_container(s, image, pull_policy, mounts) for s in steps]
    metadata = {"labels": dict(labels), "annotations": dict(annotations)}
    return {
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": {
            "backoffLimit": tries,
            "completions": 1,
            "parallelism": 1,
            # A second Pod beside one that is still ending would find the destination locked.
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": _failure_rules()},
            "activeDeadlineSeconds": int(deadline.total_seconds()),
            "ttlSecondsAfterFinished": int(KEPT.total_seconds()),
            "template": {"metadata": metadata, "spec": _pod(node, containers, mounts)},
        },
    }


def _failure_rules() -> list[Obj]:
    return [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": list(NO_RETRY)}},
        # An eviction, as by a drain of the node, is no failure of the agent.
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]


def _pod(node: str | None, containers: Sequence[Obj], mounts: Sequence[Mount]) -> Obj:
    *before, last = containers
    return {
        "restartPolicy": "Never",
        # The agent may be killed at any moment without harm.
        "terminationGracePeriodSeconds": 5,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        **_pinned(node),
        "securityContext": {
            "runAsUser": 0,
            "runAsGroup": 0,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **({"initContainers": before} if before else {}),
        "containers": [{**last, "name": CONTAINER}],
        "volumes": [*map(_volume, mounts), {"name": "tmp", "emptyDir": {}}],
    }


def _pinned(node: str | None) -> Obj:
    if node is None:
        return {}
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    return {
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}
            }
        },
        # The data is on this node alone, also while it is cordoned or kept for other workloads.
        "tolerations": [{"operator": "Exists", "effect": "NoSchedule"}],
    }


def _container(step: Step, image: str, pull_policy: str, mounts: Sequence[Mount]) -> Obj:
    return {
        "name": step.verb,
        "image": image,
        "imagePullPolicy": pull_policy,
        "command": ["python3", "-m", "backstay.agent", step.verb],
        "env": [
            {"name": "BACKSTAY_TASK", "value": step.task},
            {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], "add": list(CAPABILITIES)},
        },
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"memory": "1Gi"},
        },
        "volumeMounts": [
            *map(_mounted, mounts),
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own, emptied with it
        ],
    }


def _mounted(mount: Mount) -> Obj:
    found: Obj = {"name": mount.name, "mountPath": mount.at}
    if mount.sub_path:
        found["subPath"] = mount.sub_path
    if mount.read_only:
        found["readOnly"] = True
        # Else a disk that is mounted further down could be written to.
        found["recursiveReadOnly"] = "IfPossible"
    return found


def _volume(mount: Mount) -> Obj:
    if mount.host_path is not None:
        # Directory: one that is missing is an error, and never made by the kubelet.
        return {"name": mount.name, "hostPath": {"path": mount.host_path, "type": "Directory"}}
    return {"name": mount.name, "persistentVolumeClaim": {"claimName": mount.claim}}
