"""The Jobs of rolling copies: the agent beside the data, on one node, with nothing to spare.

Invariants: a Job is pinned to its node by the node's name, which no label can imitate; it has no
API token; of a node it sees the mounted directories only; a source is mounted read-only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from backstay.builders.jobs import (
    CONTAINER,
    TRIES,
    job_spec,
    mounted,
    pinned,
    volume,
)
from backstay.domain.jobs import Mount, Step
from backstay.domain.objects import Obj

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
        "spec": job_spec(
            {"metadata": metadata, "spec": _pod(node, containers, mounts)},
            deadline=deadline,
            tries=tries,
        ),
    }


def _pod(node: str | None, containers: Sequence[Obj], mounts: Sequence[Mount]) -> Obj:
    *before, last = containers
    return {
        "restartPolicy": "Never",
        # The agent may be killed at any moment without harm.
        "terminationGracePeriodSeconds": 5,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        **pinned(node),
        "securityContext": {
            "runAsUser": 0,
            "runAsGroup": 0,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **({"initContainers": before} if before else {}),
        "containers": [{**last, "name": CONTAINER}],
        "volumes": [*map(volume, mounts), {"name": "tmp", "emptyDir": {}}],
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
            *map(mounted, mounts),
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own, emptied with it
        ],
    }
