"""The Jobs of repositories: the agent and restic, in the namespace of the repository.

Invariants: a Job reads Secrets of its own namespace only, each as files; it has no API token unless
a ServiceAccount was named for it; it is made in the namespace whose rules it must pass, so what
Pod Security refuses there, its users cannot get through us.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from backstay.api.common import size_text
from backstay.api.mover import MOUNTED_BELOW, MoverVolume
from backstay.api.repository import Access, RepositorySpec
from backstay.builders.jobs import (
    CONTAINER,
    KEPT,
    job_spec,
    mounted,
    pinned,
    reference,
    volume,
)
from backstay.builders.restore import NOBODY
from backstay.domain import naming
from backstay.domain.jobs import Mount, Step
from backstay.domain.objects import Obj
from backstay.domain.stores.repository.places import CA, CACHE, REPOSITORY, SECRET

CAPABILITIES: Final = ("CHOWN", "DAC_OVERRIDE", "FOWNER")
"""What it takes to read every file and to give what is restored its owner: those of VolSync."""
RESOURCES: Final[Obj] = {
    "requests": {"cpu": "100m", "memory": "256Mi"},
    "limits": {"memory": "1Gi"},
}


@dataclass(frozen=True, slots=True)
class Mover:
    """The repository that a Job works on, and with which rights."""

    repository: str
    uid: str
    spec: RepositorySpec
    privileged: bool
    """Whether its namespace lets movers be root."""
    maintenance: bool = False
    """Whether it takes the Secret that may delete."""
    own_cache: bool = False
    """Whether it has a cache for itself, so that it never waits for those that have the claim."""


def mover_job(
    *,
    name: str,
    namespace: str,
    image: str,
    pull_policy: str,
    mover: Mover,
    step: Step,
    mounts: Sequence[Mount],
    deadline: timedelta,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    node: str | None = None,
    owner: Obj | None = None,
    kept: timedelta = KEPT,
    tries: int = 0,
) -> Obj:
    """Given the repository, what is to be done and the directories that it needs beside it, return
    the Job. Without a node the scheduler chooses one, as the claims and spec.mover.affinity allow.

    It has one Pod, and so many more after one that failed, unless its answer was that no other try
    will mend that: what failed is judged by whoever reads it.
    """
    metadata: Obj = {"labels": dict(labels), "annotations": dict(annotations)}
    owners = {"ownerReferences": [reference(owner)]} if owner is not None else {}
    container = _container(mover, step, image, pull_policy, mounts)
    pod = _pod(mover, naming.mover_host(mover.uid, name), container, mounts)
    return {
        "metadata": {"name": name, "namespace": namespace, **metadata, **owners},
        "spec": job_spec(
            _template(mover, metadata, pod | _placed(mover, node)),
            deadline=deadline,
            tries=tries,
            kept=kept,
        ),
    }


def _template(mover: Mover, metadata: Obj, pod: Obj) -> Obj:
    # Ours last: by them we find our Pods again.
    carried = {**mover.spec.mover.pod_labels, **metadata["labels"]}
    return {"metadata": {**metadata, "labels": carried}, "spec": pod}


def _pod(mover: Mover, host: str, container: Obj, mounts: Sequence[Mount]) -> Obj:
    account = mover.spec.mover.service_account_name
    found: Obj = {
        # restic names it in its locks: by it we know those of our Pods that are gone.
        "hostname": host,
        "restartPolicy": "Never",
        # restic removes its lock when it is asked to end.
        "terminationGracePeriodSeconds": 30,
        "automountServiceAccountToken": account is not None,
        "enableServiceLinks": False,
        "securityContext": _security(mover, mounts),
        "containers": [container],
        "volumes": [*_own_volumes(mover), *map(volume, mounts), *_more_volumes(mover)],
    }
    return found if account is None else {**found, "serviceAccountName": account}


def _placed(mover: Mover, node: str | None) -> Obj:
    affinity = mover.spec.mover.affinity or {}
    if node is None:
        return {"affinity": dict(affinity)} if affinity else {}
    pin = pinned(node)
    # The data is on this node alone: wishes for other nodes would only keep the Pod from it.
    return {**pin, "affinity": {**affinity, **pin["affinity"]}}


def _security(mover: Mover, mounts: Sequence[Mount]) -> Obj:
    base: Obj = {"seccompProfile": {"type": "RuntimeDefault"}}
    given = mover.spec.mover.security_context
    if mover.privileged:
        return {**base, "runAsUser": 0, "runAsGroup": 0, **(given or {})}
    if given is not None:
        return {**base, **given}
    found = {**base, "runAsNonRoot": True, "runAsUser": NOBODY, "runAsGroup": NOBODY}
    # A new volume belongs to root. Never where data is mounted: its files would change their group.
    if all(mount.fresh for mount in mounts) and (mounts or _writes_to_claims(mover)):
        found |= {"fsGroup": NOBODY, "fsGroupChangePolicy": "OnRootMismatch"}
    return found


def _writes_to_claims(mover: Mover) -> bool:
    if mover.spec.claim is not None:
        # That of a ReadOnly repository would be written to, if only its groups.
        return mover.spec.access is not Access.READ_ONLY
    return _has_cache_claim(mover)


def _has_cache_claim(mover: Mover) -> bool:
    return mover.spec.cache.storage_class_name is not None and not mover.own_cache


def _container(
    mover: Mover, step: Step, image: str, pull_policy: str, mounts: Sequence[Mount]
) -> Obj:
    own = mover.spec.mover.image
    return {
        "name": CONTAINER,
        "image": own or image,
        # Of another image the cluster knows best, as it does for any Pod.
        **({} if own else {"imagePullPolicy": pull_policy}),
        "command": ["python3", "-m", "backstay.agent", step.verb],
        "env": [
            {"name": "BACKSTAY_TASK", "value": step.task},
            {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {
                "drop": ["ALL"],
                **({"add": list(CAPABILITIES)} if mover.privileged else {}),
            },
        },
        "resources": mover.spec.mover.resources or RESOURCES,
        "volumeMounts": [*_own_mounts(mover.spec), *map(mounted, mounts), *_more_mounts(mover)],
    }


def _own_volumes(mover: Mover) -> list[Obj]:
    spec = mover.spec
    ref = spec.secret_ref
    if mover.maintenance and spec.maintenance_secret_ref is not None:
        ref = spec.maintenance_secret_ref
    found: list[Obj] = [
        # Optional: the agent says in words what is missing, where a Pod would only wait.
        {"name": "secret", "secret": {"secretName": ref.name, "optional": True}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "cache", **_cache(mover)},
    ]
    if (ca := spec.custom_ca) is not None:
        items = {"items": [{"key": ca.key, "path": CA.name}], "optional": True}
        source: Obj = (
            {"secret": {"secretName": ca.secret_name, **items}}
            if ca.secret_name
            else {"configMap": {"name": ca.config_map_name, **items}}
        )
        found.append({"name": "ca", **source})
    if spec.claim is not None:
        claim = {"claimName": spec.claim.name}
        found.append({"name": "repository", "persistentVolumeClaim": claim})
    return found


def _cache(mover: Mover) -> Obj:
    cache = mover.spec.cache
    if _has_cache_claim(mover):
        name = naming.cache_name(mover.repository, mover.uid)
        return {"persistentVolumeClaim": {"claimName": name}}
    return {"emptyDir": {"sizeLimit": size_text(cache.size)} if cache.size else {}}


def _own_mounts(spec: RepositorySpec) -> list[Obj]:
    found: list[Obj] = [
        {"name": "secret", "mountPath": str(SECRET), "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own, emptied with it
        {"name": "cache", "mountPath": str(CACHE)},
    ]
    if spec.custom_ca is not None:
        found.append({"name": "ca", "mountPath": str(CA.parent), "readOnly": True})
    if spec.claim is not None:
        # Its root, and the way below it is the agent's: a subPath would be made by the kubelet, as
        # root, also where there is to be a repository.
        mount: Obj = {"name": "repository", "mountPath": str(REPOSITORY)}
        found.append(mount | ({"readOnly": True} if spec.access is Access.READ_ONLY else {}))
    return found


def _more_volumes(mover: Mover) -> list[Obj]:
    more = enumerate(mover.spec.mover.volumes)
    return [{"name": f"more-{number}", **_source(found)} for number, found in more]


def _source(found: MoverVolume) -> Obj:
    if found.secret_name is not None:
        return {"secret": {"secretName": found.secret_name}}
    if found.nfs is not None:
        nfs = {"server": found.nfs.server, "path": found.nfs.path}
        return {"nfs": {**nfs, "readOnly": found.read_only}}
    return {"persistentVolumeClaim": {"claimName": found.claim_name, "readOnly": found.read_only}}


def _more_mounts(mover: Mover) -> list[Obj]:
    return [
        {
            "name": f"more-{number}",
            "mountPath": f"{MOUNTED_BELOW}/{found.mount_path}",
            "readOnly": found.read_only or found.secret_name is not None,
        }
        for number, found in enumerate(mover.spec.mover.volumes)
    ]
