"""Where a policy's data lives: pure rules over claims, volumes, classes and pods.

Every refusal is a `UserError` that names the field of the policy and the remedy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from backstay.api.source import LabelSelector
from backstay.domain import objects
from backstay.domain.errors import UserError
from backstay.domain.objects import Obj, dig, name, uid
from backstay.domain.run.sights import DumpPlace
from backstay.domain.sources.mounts import Mount

DEFAULT_CLASS: Final = "snapshot.storage.kubernetes.io/is-default-class"


def selector_text(selector: LabelSelector) -> str:
    """Given a label selector, return it in the form of the labelSelector query parameter."""
    parts = [f"{key}={value}" for key, value in sorted(selector.match_labels.items())]
    for term in selector.match_expressions:
        match term.operator:
            case "In":
                parts.append(f"{term.key} in ({','.join(term.values)})")
            case "NotIn":
                parts.append(f"{term.key} notin ({','.join(term.values)})")
            case "Exists":
                parts.append(term.key)
            case "DoesNotExist":
                parts.append(f"!{term.key}")
    return ",".join(parts)


def workload_selector(workload: Obj) -> str:
    """Given a Deployment or StatefulSet, return its pod selector as a query parameter."""
    return selector_text(LabelSelector.model_validate(dig(workload, "spec", "selector") or {}))


def driver_of(claim: Obj, volume: Obj | None) -> str:
    """Given a claim and its volume, return its CSI driver.

    Raise UserError if the claim is not bound or its volume is not a CSI volume.
    """
    if volume is None:
        raise UserError(
            "ClaimNotBound",
            f"spec.source.claims: claim {name(claim)} is not bound to a volume yet; "
            "start a pod that uses it",
        )
    driver = dig(volume, "spec", "csi", "driver")
    if not driver:
        raise UserError(
            "ClaimNotCSI",
            f"spec.source.claims: claim {name(claim)} is on volume {name(volume)}, which is not "
            "a CSI volume and cannot be snapshotted; move it to a StorageClass of a CSI driver",
        )
    return str(driver)


def snapshot_class_for(claim: str, driver: str, wanted: str | None, classes: Sequence[Obj]) -> str:
    """Given a claim's driver and all VolumeSnapshotClasses, return the class to use.

    Raise UserError if the wanted class is missing or another driver's, or if none is wanted and
    the driver has not exactly one default class.
    """
    if wanted is not None:
        found = next((c for c in classes if name(c) == wanted), None)
        if found is None:
            raise UserError(
                "ClassNotFound",
                f"spec.snapshot.className: there is no VolumeSnapshotClass {wanted}"
                f"{_choices(driver, classes)}",
            )
        if found.get("driver") != driver:
            raise UserError(
                "ClassOfAnotherDriver",
                f"spec.snapshot.className: {wanted} belongs to driver {found.get('driver')}, "
                f"claim {claim} to {driver}{_choices(driver, classes)}",
            )
        return wanted
    defaults = [
        name(c)
        for c in classes
        if c.get("driver") == driver and objects.annotations(c).get(DEFAULT_CLASS) == "true"
    ]
    if len(defaults) != 1:
        count = "no" if not defaults else "more than one"
        raise UserError(
            "NoDefaultClass",
            f"spec.snapshot.className is not set and driver {driver} of claim {claim} has "
            f"{count} default VolumeSnapshotClass{_choices(driver, classes)}",
        )
    return defaults[0]


def _choices(driver: str, classes: Iterable[Obj]) -> str:
    fitting = sorted(name(c) for c in classes if c.get("driver") == driver)
    if not fitting:
        return f"; driver {driver} has none: create one"
    return f"; choose one of {', '.join(fitting)}"


def running_pods(pods: Iterable[Obj]) -> list[Obj]:
    """Given pods, return those that run and are not going away, by name."""
    alive = [
        p
        for p in pods
        if dig(p, "status", "phase") == "Running" and not dig(p, "metadata", "deletionTimestamp")
    ]
    return sorted(alive, key=lambda p: (len(name(p)), name(p)))


def container_of(pod: Obj, *, field: str, wanted: str | None) -> str:
    """Given a pod, the wanted container and the field that names the target, return the
    container's name.

    Raise UserError if it is not there, or not named and the pod has several.
    """
    names = [str(c["name"]) for c in dig(pod, "spec", "containers", default=[])]
    where = f"{field}.container"
    if wanted is None:
        if len(names) == 1:
            return names[0]
        raise UserError(
            "ContainerNotNamed",
            f"{where} is not set and pod {name(pod)} has several: {', '.join(names)}",
        )
    if wanted not in names:
        raise UserError(
            "ContainerNotFound",
            f"{where}: pod {name(pod)} has no container {wanted}, only {', '.join(names)}",
        )
    return wanted


def container_id(pod: Obj, container: str) -> str:
    """Given a pod and a container, return the id of the running container, "" if it is not."""
    for status in dig(pod, "status", "containerStatuses", default=[]):
        if status.get("name") == container and dig(status, "state", "running") is not None:
            return str(status.get("containerID", ""))
    return ""


def claim_behind(pod: Obj, container: str, file: str, *, field: str) -> tuple[str, str]:
    """Given a pod and a file in a container, return (claim, path inside the claim).

    Follows the longest mountPath, as the kernel does. Raise UserError if the file lies on no
    claim, or if its subPath is only known at run time.
    """
    spec = next(c for c in dig(pod, "spec", "containers", default=[]) if c["name"] == container)
    mounts = [m for m in spec.get("volumeMounts") or [] if _inside(file, str(m["mountPath"]))]
    if not mounts:
        raise UserError(
            "FileOutsideClaims",
            f"{field}: {file} lies in the container's own file system, on no claim; put it below "
            f"a volume of container {container}",
        )
    mount = max(mounts, key=lambda m: len(str(m["mountPath"]).rstrip("/")))
    volume = next(v for v in dig(pod, "spec", "volumes", default=[]) if v["name"] == mount["name"])
    claim = _claim_of(pod, volume)
    if claim is None:
        raise UserError(
            "FileOutsideClaims",
            f"{field}: {file} lies on volume {volume['name']}, which is not a claim",
        )
    if mount.get("subPathExpr"):
        raise UserError(
            "FileBehindSubPathExpr",
            f"{field}: {file} lies behind a subPathExpr, whose value is not known outside the "
            "container; mount the volume with a plain subPath",
        )
    rest = file[len(str(mount["mountPath"]).rstrip("/")) :].lstrip("/")
    sub = str(mount.get("subPath") or "").strip("/")
    return claim, f"{sub}/{rest}" if sub else rest


def _claim_of(pod: Obj, volume: Obj) -> str | None:
    """The claim of a pod's volume; a StatefulSet writes those of its templates into its pods."""
    if "ephemeral" in volume:
        return f"{name(pod)}-{volume['name']}"
    claim = dig(volume, "persistentVolumeClaim", "claimName")
    return None if claim is None else str(claim)


def mounts_of(pod: Obj, container: str) -> tuple[Mount, ...]:
    """Given a pod and the name of one of its containers, return what is mounted in it."""
    spec = next(c for c in dig(pod, "spec", "containers", default=[]) if c["name"] == container)
    volumes = {v["name"]: v for v in dig(pod, "spec", "volumes", default=[])}
    return tuple(_mount(pod, m, volumes[m["name"]]) for m in spec.get("volumeMounts") or [])


def _mount(pod: Obj, mount: Obj, volume: Obj) -> Mount:
    return Mount(
        path=str(mount["mountPath"]),
        claim=_claim_of(pod, volume) or "",
        volume=str(volume["name"]),
        sub_path=None if mount.get("subPathExpr") else str(mount.get("subPath") or "").strip("/"),
        read_only=bool(
            mount.get("readOnly") or dig(volume, "persistentVolumeClaim", "readOnly", default=False)
        ),
    )


def may_hold_data(pod: Obj, mount: Mount) -> bool:
    """Given a pod and a mount in it, return whether a program may keep data there: it may write to
    it, and what is there is not made up by Kubernetes, such as a Secret.
    """
    volumes = {v["name"]: v for v in dig(pod, "spec", "volumes", default=[])}
    made_up = {"secret", "configMap", "downwardAPI", "projected"}
    return not mount.read_only and not made_up & set(volumes[mount.volume])


def claims_written(pod: Obj, container: Obj) -> frozenset[str]:
    """Given a pod and the spec of one of its containers, return the claims that it may write to,
    as a file system or as a block device.
    """
    volumes = {v["name"]: v for v in dig(pod, "spec", "volumes", default=[])}
    mounted = [_mount(pod, m, volumes[m["name"]]) for m in container.get("volumeMounts") or []]
    devices = [_claim_of(pod, volumes[d["name"]]) for d in container.get("volumeDevices") or []]
    files = [m.claim for m in mounted if not m.read_only]
    return frozenset(c for c in (*files, *devices) if c)


def claims_of(pod: Obj) -> frozenset[str]:
    """Given a pod, return the claims that it has."""
    volumes = dig(pod, "spec", "volumes", default=[])
    return frozenset(c for c in (_claim_of(pod, v) for v in volumes) if c is not None)


def replicas_of(workload: Obj) -> int:
    """Given a Deployment or StatefulSet, return how many pods it should have."""
    return int(dig(workload, "spec", "replicas", default=1))


def _inside(file: str, directory: str) -> bool:
    return file.startswith(directory.rstrip("/") + "/")


def place_in(pod: Obj, *, dump: str, container: str | None, file: str) -> DumpPlace:
    """Given a running pod, return where a dump would run in it. Raise UserError if nowhere."""
    chosen = container_of(pod, field=f"spec.dumps[{dump}].target", wanted=container)
    claim, path = claim_behind(pod, chosen, file, field=f"spec.dumps[{dump}].file")
    return DumpPlace(
        pod=name(pod),
        pod_uid=uid(pod),
        container=chosen,
        container_id=container_id(pod, chosen),
        claim=claim,
        path=path,
        mounts=mounts_of(pod, chosen),
    )


def require_claim_of_run(place: DumpPlace, claims: Iterable[str], *, dump: str, file: str) -> None:
    """Raise UserError unless the file's claim is one that the run snapshots."""
    known = sorted(claims)
    if place.claim not in known:
        raise UserError(
            "FileOutsideClaims",
            f"spec.dumps[{dump}].file: {file} lies on claim {place.claim}, which this policy does "
            f"not snapshot ({', '.join(known)}); add it to spec.source.claims or move the file",
        )
