"""What a kubelet mounts for a Job, as folders of this machine."""

from __future__ import annotations

import base64
from pathlib import Path, PurePosixPath
from typing import Any

from backstay.domain import objects
from backstay.domain.objects import Obj, dig
from backstay.kube.client import Client
from backstay.kube.resources import PERSISTENT_VOLUME_CLAIM, SECRET, Resource

CONFIG_MAP = Resource("", "v1", "configmaps", "ConfigMap", namespaced=True)

PATHS = (
    ("destination", "path"),
    ("source", "root"),
    ("target", "root"),
    ("repository", "secret"),
    ("repository", "ca"),
    ("repository", "cache"),
    ("repository", "local"),
)
"""Where tasks name directories of the container."""


class Mounts:
    """Makes the folders of Jobs. Claims are folders below `claims`; the rest goes to `scratch`."""

    def __init__(self, client: Client, claims: Path, scratch: Path) -> None:
        self._client = client
        self._claims = claims
        self._scratch = scratch

    async def can(self, job: Obj) -> bool:
        """Whether a Job's volumes can be mounted: claims that are made of something are bound, and
        what a mover needs is there.
        """
        namespace = objects.namespace(job)
        for volume in dig(job, "spec", "template", "spec", "volumes"):
            if name := dig(volume, "persistentVolumeClaim", "claimName"):
                claim = await self._client.find(PERSISTENT_VOLUME_CLAIM, name, namespace)
                if dig(claim, "spec", "dataSource") and dig(claim, "status", "phase") != "Bound":
                    return False
                if claim is None and not (self._claims / namespace / name).is_dir():
                    return False
            if (secret := volume.get("secret")) and not secret.get("optional"):
                found = await self._client.find(SECRET, secret["secretName"], namespace)
                if found is None:
                    return False
        return True

    async def of(self, job: Obj, container: Obj, attempt: int) -> dict[str, Path]:
        """Given a container of a Job and which run of a Job this is, return its folders by path."""
        pod = dig(job, "spec", "template", "spec")
        volumes = {v["name"]: v for v in pod["volumes"]}
        found = {}
        for mount in container["volumeMounts"]:
            folder = await self._folder(job, volumes[mount["name"]], attempt)
            sub_path = str(mount.get("subPath", ""))
            found[mount["mountPath"]] = _made(folder / sub_path) if sub_path else folder
        return found

    async def _folder(self, job: Obj, volume: Obj, attempt: int) -> Path:
        namespace = objects.namespace(job)
        if "hostPath" in volume:
            return Path(volume["hostPath"]["path"])
        if name := dig(volume, "persistentVolumeClaim", "claimName"):
            return _made(Path(self._claims, namespace, name))
        folder = _made(Path(self._scratch, f"{objects.name(job)}-{attempt}", volume["name"]))
        for key, value in (await self._data(namespace, volume)).items():
            (folder / key).write_bytes(value)
        return folder

    async def _data(self, namespace: str, volume: Obj) -> dict[str, bytes]:
        """By file: what a Secret or a ConfigMap has; nothing where it is missing."""
        if secret := volume.get("secret"):
            obj = await self._client.find(SECRET, secret["secretName"], namespace)
            data = {k: base64.b64decode(v) for k, v in dig(obj, "data", default={}).items()}
        elif secret := volume.get("configMap"):
            obj = await self._client.find(CONFIG_MAP, secret["name"], namespace)
            data = {k: v.encode() for k, v in dig(obj, "data", default={}).items()}
        else:
            return {}
        items = secret.get("items")
        if items is None:
            return data
        return {item["path"]: data[item["key"]] for item in items if item["key"] in data}


def moved(task: Obj, places: dict[str, Path]) -> Obj:
    """Given a task and a container's folders, return the task as it names these folders."""
    found: dict[str, Any] = dict(task)
    for part, key in PATHS:
        path = dig(found, part, key)
        if path:
            found[part] = {**found[part], key: str(_place(places, str(path)))}
    return found


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _place(places: dict[str, Path], path: str) -> Path:
    whole = PurePosixPath(path)
    above = next(p for p in (whole, *whole.parents) if str(p) in places)
    return places[str(above)] / whole.relative_to(above)
