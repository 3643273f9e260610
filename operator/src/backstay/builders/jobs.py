"""What all Jobs of the agent have in common: name of the container, node, directories."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from backstay.domain import objects
from backstay.domain.jobs import Mount
from backstay.domain.objects import Obj

CONTAINER: Final = "agent"
KEPT: Final = timedelta(hours=1)
"""A finished Job stays so long, for people to read its log."""
TRIES: Final = 3
"""Further Pods of one Job, after a Pod was deleted or the agent failed."""
NO_RETRY: Final = (2, 3)
"""Exit status of the agent for what another try cannot mend."""
NOT_AGAIN: Final[Obj] = {
    "action": "FailJob",
    "onExitCodes": {"operator": "In", "values": list(NO_RETRY)},
}
"""Rule of a podFailurePolicy."""
# An eviction, as by a drain of the node, is no failure of the agent.
NOT_COUNTED: Final[Obj] = {
    "action": "Ignore",
    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
}
"""Rule of a podFailurePolicy."""


def pinned(node: str | None) -> Obj:
    """Given a node's name, return what keeps a Pod on it; None: nothing."""
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


def job_spec(
    template: Obj, *, deadline: timedelta, tries: int = TRIES, kept: timedelta = KEPT
) -> Obj:
    """Given the template of its Pods, its deadline from its start over all of them, how many more
    follow one that failed, and how long it stays when it has finished, return a Job's spec.
    """
    return {
        "backoffLimit": tries,
        "completions": 1,
        "parallelism": 1,
        # A second Pod beside one that is still ending would find locked what that one works on.
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": [NOT_AGAIN, NOT_COUNTED]},
        "activeDeadlineSeconds": int(deadline.total_seconds()),
        "ttlSecondsAfterFinished": int(kept.total_seconds()),
        "template": template,
    }


def mounted(mount: Mount) -> Obj:
    """Given a directory, return the entry of a container's volumeMounts."""
    found: Obj = {"name": mount.name, "mountPath": mount.at}
    if mount.sub_path:
        found["subPath"] = mount.sub_path
    if mount.read_only:
        found["readOnly"] = True
        # Else a disk that is mounted further down could be written to.
        found["recursiveReadOnly"] = "IfPossible"
    return found


def volume(mount: Mount) -> Obj:
    """Given a directory, return the entry of a Pod's volumes."""
    if mount.host_path is not None:
        # Directory: one that is missing is an error, and never made by the kubelet.
        return {"name": mount.name, "hostPath": {"path": mount.host_path, "type": "Directory"}}
    return {"name": mount.name, "persistentVolumeClaim": {"claimName": mount.claim}}


def reference(owner: Obj) -> Obj:
    """Given an object as read, return the entry of ownerReferences of what goes with it."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": objects.name(owner),
        "uid": objects.uid(owner),
    }
