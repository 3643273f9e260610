"""Run the command as a person does, on files that the test writes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backstay.cli import main
from backstay.domain.objects import Obj

FOREIGN = "backup-ns.sh/"


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def by_name(self) -> dict[str, Any]:
        return {line["name"]: line for line in self.json}


class Cli:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self._capsys = capsys

    def run(self, *arguments: str) -> Ran:
        code = main(arguments)
        captured = self._capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    def write(self, name: str, value: object) -> str:
        """A JSON file (which is YAML too), or one of the very text."""
        path = self._folder / name
        path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return str(path)

    def policy(self, name: str = "shop", zone: str = "Europe/Vienna", **retention: int) -> str:
        spec: Obj = {
            "schedule": {"cron": "32 0 * * *", "timeZone": zone},
            "source": {"claims": {"names": ["data"]}},
        }
        if retention:
            spec["retention"] = retention
        return self.write("policy.yaml", manifest(spec, name=name))

    def snapshots(self, items: Iterable[Obj]) -> str:
        return self.write("snapshots.json", listed(items))

    def judge(self, now: str, *more: str) -> Ran:
        """Offline, over the two files."""
        files = ("--policy", self._path("policy.yaml"), "--snapshots", self._path("snapshots.json"))
        return self.run("retention", *files, "--now", now, "-o", "json", *more)

    def _path(self, name: str) -> str:
        return str(self._folder / name)


def manifest(spec: Obj, **metadata: Any) -> Obj:
    metadata = {"name": "shop"} | metadata
    return {
        "apiVersion": "backstay.dev/v1alpha1",
        "kind": "BackupPolicy",
        "metadata": metadata,
        "spec": spec,
    }


def listed(items: Iterable[Obj]) -> Obj:
    """What kubectl prints."""
    typed = [
        {"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", **i} for i in items
    ]
    return {"apiVersion": "v1", "kind": "List", "items": typed, "metadata": {"resourceVersion": ""}}


def foreign(
    name: str,
    taken: str | None,
    *,
    ready: bool = True,
    claim: str | None = "data",
    namespace: str = "shop",
    retain: str | None = "daily_weekly_monthly",
    **carried: str,
) -> Obj:
    """A snapshot of backup-ns; further labels by their short names."""
    short: Mapping[str, str | None] = {
        "pvc": claim, "type": "cronjob", "retain": retain,
        **{key.replace("_", "-"): value for key, value in carried.items()},
    }  # fmt: skip
    found: Obj = {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{namespace}-{name}",
            "resourceVersion": "1",
            "creationTimestamp": taken or "2026-11-22T00:32:00Z",
            "labels": {FOREIGN + k: v for k, v in short.items() if v is not None},
        },
        "spec": {"source": {"persistentVolumeClaimName": claim or "data"}},
    }
    if taken is not None:
        found["status"] = {"creationTime": taken, "readyToUse": ready}
    return found
