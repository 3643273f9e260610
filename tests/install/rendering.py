"""The chart and the kustomize base, rendered by the tools that users have."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "backstay"
BASE = ROOT / "manifests"
CRDS = ROOT / "crds"
NAMESPACE = "backstay"
KUBERNETES = "1.35"

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tools:
    """Paths of the programs, found or built by the cluster kit."""

    helm: str
    kubectl: str


def find_tools() -> Tools:
    """Return the tools. Raise CalledProcessError if the kit can neither find nor build one."""
    kit = ROOT / "hack" / "cluster" / "cluster"
    answer = _run([str(kit), "tools", "helm", "kubectl"])
    found = dict(line.split(maxsplit=1) for line in answer.splitlines())
    return Tools(helm=found["helm"], kubectl=found["kubectl"])


def helm_template(tools: Tools, values: Object, release: str = "backstay") -> list[Object]:
    """Given values, return the chart's objects. Raise AssertionError if helm refuses."""
    command = [tools.helm, "template", release, str(CHART), f"--namespace={NAMESPACE}"]
    command += [f"--kube-version={KUBERNETES}", "--values=-"]
    return _objects(_run(command, stdin=yaml.safe_dump(values)))


def kustomize(tools: Tools, folder: Path = BASE) -> list[Object]:
    """Given a folder with a kustomization, return its objects."""
    return _objects(_run([tools.kubectl, "kustomize", str(folder)]))


def only(objects: list[Object], kind: str, name: str | None = None) -> Object:
    """Given objects, return the one of a kind (and name). Raise AssertionError if not just one."""
    found = [o for o in objects if o["kind"] == kind and name in (None, o["metadata"]["name"])]
    assert len(found) == 1, f"{kind} {name or ''}: {len(found)} of {len(objects)} objects"
    return found[0]


def operator_container(objects: list[Object]) -> Object:
    """Given the objects of an installation, return the operator's container."""
    containers = only(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert [c["name"] for c in containers] == ["operator"]
    found: Object = containers[0]
    return found


def _run(command: list[str], stdin: str | None = None) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _objects(text: str) -> list[Object]:
    return [document for document in yaml.safe_load_all(text) if document]
