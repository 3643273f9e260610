"""The local cluster's S3 server as a namespace's repository."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.e2e.kube import Obj
from tests.e2e.shop import API, Shop

from backstay.domain.objects import dig

PASSWORD = "correct-horse-battery"  # noqa: S105 - of repositories that go with the cluster
REPOSITORY = "offsite"
CA = "s3-ca"


class S3:
    """The S3 server: a place in its bucket for each test, and restic itself beside us."""

    def __init__(self, cluster: Path) -> None:
        self._cluster = cluster
        found = json.loads(self._run("status", "-o", "json"))["s3"]
        self.endpoint = str(found["endpoint"])
        self.ca = Path(found["ca"])
        self._region = str(found["region"])
        self._keys: dict[str, Obj] = found["keys"]

    def secret(self, place: str, user: str = "writer", bucket: str = "backstay") -> dict[str, str]:
        """Given a place in a bucket and a user of the server, return what their Secret has."""
        key = self._keys[user]
        return {
            "RESTIC_PASSWORD": PASSWORD,
            "RESTIC_REPOSITORY": f"s3:{self.endpoint}/{bucket}/{place}",
            "AWS_ACCESS_KEY_ID": str(key["id"]),
            "AWS_SECRET_ACCESS_KEY": str(key["secret"]),
            "AWS_DEFAULT_REGION": self._region,
        }

    def restic(self, place: str, *words: str) -> Any:
        """Run restic itself on a place; return what it answers as JSON."""
        program = self._run("tools", "restic").split()[-1]
        text = subprocess.run(
            [program, "--no-cache", "--json", "--cacert", self.ca, *words],
            check=True,
            capture_output=True,
            text=True,
            env=self.secret(place),
        ).stdout
        return json.loads(text)

    def _run(self, *words: str) -> str:
        return subprocess.run(
            [self._cluster, *words], check=True, capture_output=True, text=True
        ).stdout


def add_repository(shop: Shop, s3: S3, place: str, **spec: Any) -> None:
    """Give a namespace the Secret, the CA and the BackupRepository of a place in the bucket."""
    ca = {"name": CA, "namespace": shop.name}
    secret = {"name": REPOSITORY, "namespace": shop.name}
    shop.kubectl.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": secret, "stringData": s3.secret(place)},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": ca,
            "data": {"ca.crt": s3.ca.read_text()},
        },
        {
            "apiVersion": API,
            "kind": "BackupRepository",
            "metadata": {"name": REPOSITORY, "namespace": shop.name},
            "spec": {
                "secretRef": {"name": REPOSITORY},
                "customCA": {"configMapName": CA},
                **spec,
            },
        },
    )


def opened(shop: Shop) -> Obj:
    """Wait until the namespace's BackupRepository is Ready; return it."""

    def check() -> Obj | None:
        found = shop.kubectl.get("backuprepository", REPOSITORY)
        conditions = dig(found, "status", "conditions", default=[])
        ready = next((c for c in conditions if c["type"] == "Ready"), None)
        return found if ready is not None and ready["status"] == "True" else None

    return shop.kubectl.until("the repository to be Ready", check, 120)


def stored(backup: Obj) -> Obj:
    """The one point of a Backup that is in a repository."""
    (found,) = [p for p in backup["status"]["points"] if p["store"] == "Repository"]
    return dict(found)
