"""Directories of the local cluster's nodes, which are directories of this machine, and copies."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hack.cluster.kit.layout import layout_from
from tests.e2e.kube import Kube, Obj
from tests.e2e.shop import API

CLUSTER = Path(__file__).resolve().parents[2] / "hack/cluster/cluster"
SOURCES = Path("/var/tmp/backstay-cluster/srv")
DESTINATION = Path("/var/tmp/backstay-cluster/backup")
"""As hack/values-local.yaml allows them to all namespaces."""
NODE, OTHER_NODE = (node.name for node in layout_from(os.environ).nodes(2))


class Uploads:
    """A namespace with a directory of its own on the nodes."""

    def __init__(self, kubectl: Kube) -> None:
        self.kubectl = kubectl
        self.name = kubectl.namespace
        self.source = SOURCES / self.name

    def __enter__(self) -> Self:
        self.source.mkdir(parents=True)
        self.kubectl.run("create", "namespace", self.name)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.kubectl.run("delete", "namespace", self.name, "--wait=false", "--ignore-not-found")
        shutil.rmtree(self.source, ignore_errors=True)
        shutil.rmtree(DESTINATION / self.name, ignore_errors=True)

    def write(self, **files: str) -> None:
        """Given names (`__` is a slash) and contents, write files of the source."""
        for name, text in files.items():
            path = self.source / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def policy(self, name: str = "uploads", node: str = NODE, **spec: Any) -> None:
        """Create or change a policy of the source; fields of its spec are overridden by `spec`."""
        defaults: Obj = {
            "source": {"hostPath": {"path": str(self.source), "node": node}},
            "rolling": {
                "destination": {"hostPath": str(DESTINATION)},
                # Source and copies are on the one disk of this machine.
                "allowSameFileSystem": True,
            },
            "retries": 0,
        }
        self.kubectl.apply(
            {
                "apiVersion": API,
                "kind": "BackupPolicy",
                "metadata": {"name": name, "namespace": self.name},
                "spec": defaults | spec,
            }
        )

    def backup(self, policy: str = "uploads", **spec: Any) -> str:
        """Ask for an ad-hoc run; return the Backup's name."""
        name = f"run-{secrets.token_hex(3)}"
        self.kubectl.create(
            {
                "apiVersion": API,
                "kind": "Backup",
                "metadata": {"name": name, "namespace": self.name},
                "spec": {"policy": policy, **spec},
            }
        )
        return name

    def finished(self, name: str, *phases: str, seconds: float = 90) -> Obj:
        """Wait for a Backup to end in one of these phases (default: Completed)."""
        return self.kubectl.until_phase(
            "backups.backstay.dev", name, *(phases or ("Completed",)), seconds=seconds
        )

    def folders(self, policy: str = "uploads") -> list[Path]:
        """Return the folders of the policy's series at the destination."""
        return sorted((DESTINATION / self.name / policy).glob("*"))

    def points(self, policy: str = "uploads") -> dict[str, Obj]:
        """Return the points at the destination, by stamp."""
        return {
            path.stem: json.loads(path.read_text())
            for folder in self.folders(policy)
            for path in sorted((folder / "points").glob("[0-9]*.json"))
        }

    def copy(self, done: Obj) -> Path:
        """Given a Backup that is done, return the directory of its only copy."""
        (entry,) = done["status"]["points"]
        for folder in self.folders(done["spec"]["policy"]):
            link = folder / str(entry["ref"])
            if link.is_symlink():
                return link.resolve()
        raise AssertionError(f"there is no copy {entry['rolling']['stamp']}")
