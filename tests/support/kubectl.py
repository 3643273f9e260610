"""kubectl as people use it, against the API server of a test."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Answer:
    """What kubectl said."""

    ok: bool
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl of one kubeconfig and one namespace."""

    kubeconfig: Path
    namespace: str

    def __call__(self, *arguments: str, stdin: str | None = None) -> Answer:
        """Given arguments, run kubectl with them and return what it said."""
        command = [
            "kubectl",
            f"--kubeconfig={self.kubeconfig}",
            f"--cache-dir={self.kubeconfig.parent / 'kubectl-cache'}",
            f"--namespace={self.namespace}",
            *arguments,
        ]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        return Answer(done.returncode == 0, done.stdout, done.stderr)

    def apply(self, document: dict[str, Any]) -> Answer:
        """Given an object, apply it as YAML and return what kubectl said."""
        return self("apply", "-f", "-", stdin=yaml.safe_dump(document))

    def get(self, *arguments: str) -> dict[str, Any]:
        """Given arguments of `kubectl get`, return the object. Raise AssertionError if refused."""
        answer = self("get", "-o", "yaml", *arguments)
        assert answer.ok, answer.err
        found: dict[str, Any] = yaml.safe_load(answer.out)
        return found

    def set_status(self, resource: str, name: str, status: dict[str, Any]) -> None:
        """Given a status, merge it into an object's. Raise AssertionError if it is refused."""
        patch = yaml.safe_dump({"status": status})
        answer = self(
            "patch", resource, name, "--subresource=status", "--type=merge", "--patch", patch
        )
        assert answer.ok, answer.err
