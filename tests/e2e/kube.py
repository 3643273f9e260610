"""kubectl for the end-to-end tests, with what they ask for again and again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tests.support.kubectl import Kubectl
from tests.support.waiting import eventually

T = TypeVar("T")

Obj = dict[str, Any]


class KubectlError(Exception):
    """kubectl said no; the text is what it wrote to standard error."""


class Kube:
    """Runs kubectl with one kubeconfig, in one namespace by default."""

    def __init__(self, kubeconfig: Path, namespace: str = "default") -> None:
        self.kubeconfig = kubeconfig
        self.namespace = namespace

    def within(self, namespace: str) -> Kube:
        return Kube(self.kubeconfig, namespace)

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Given arguments, return standard output. Raise KubectlError if it fails."""
        answer = Kubectl(self.kubeconfig, self.namespace)(*arguments, stdin=stdin)
        if not answer.ok:
            raise KubectlError(answer.err.strip() or answer.out.strip())
        return answer.out

    def apply(self, *objects: Obj) -> None:
        self.run("apply", "--filename", "-", stdin=_as_list(objects))

    def create(self, *objects: Obj) -> None:
        self.run("create", "--filename", "-", stdin=_as_list(objects))

    def get(self, kind: str, name: str) -> Obj:
        found: Obj = json.loads(self.run("get", kind, name, "--output", "json"))
        return found

    def find(self, kind: str, name: str) -> Obj | None:
        text = self.run("get", kind, name, "--output", "json", "--ignore-not-found")
        found: Obj | None = json.loads(text) if text else None
        return found

    def list(self, kind: str, *arguments: str) -> Sequence[Obj]:
        found: Sequence[Obj] = json.loads(self.run("get", kind, *arguments, "--output", "json"))[
            "items"
        ]
        return found

    def patch(self, kind: str, name: str, patch: Obj) -> None:
        self.run("patch", kind, name, "--type", "merge", "--patch", json.dumps(patch))

    def exec(self, pod: str, *command: str, container: str | None = None) -> str:
        chosen = ["--container", container] if container else []
        return self.run("exec", pod, *chosen, "--", *command)

    def until(
        self, what: str, check: Callable[[], T | None], seconds: float = 120, every: float = 0.3
    ) -> T:
        """Wait until `check` returns something true; say `what` if it never does."""
        found = eventually(check, what, seconds, every)
        assert found is not None
        return found

    def until_phase(self, kind: str, name: str, *phases: str, seconds: float = 120) -> Obj:
        """Wait until the object's phase is one of these; fail early on another final one."""

        def check() -> Obj | None:
            found = self.find(kind, name)
            phase = (found or {}).get("status", {}).get("phase")
            if phase in phases:
                return found
            if phase in {"Completed", "PartiallyFailed", "Failed", "Refused"}:
                message = (found or {})["status"].get("message")
                raise AssertionError(f"{kind} {name} is {phase}, not {phases}: {message}")
            return None

        return self.until(f"{kind} {name} to be {' or '.join(phases)}", check, seconds)


def _as_list(objects: Sequence[Obj]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
