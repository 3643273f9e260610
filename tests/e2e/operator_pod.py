"""The operator's pod, to be killed, and writes of the operator, to be refused meanwhile.

A write is refused by a ValidatingAdmissionPolicy that looks at the operator's service account
only: the operator stands before that write for as long as the policy does, on a real API server.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.kube import Kube, KubectlError, Obj
from tests.e2e.shop import IMAGE

NAMESPACE = "backstay"
SELECTOR = "app.kubernetes.io/name=backstay"
API_PORT = "KUBERNETES_SERVICE_PORT"
ACCOUNT = "system:serviceaccount:backstay:backstay"


def kill(kubectl: Kube) -> None:
    """Kill the operator (SIGKILL: no farewell, the Lease is not given back); wait for the next."""
    home = kubectl.within(NAMESPACE)
    old = home.list("pods", "--selector", SELECTOR)
    for pod in old:
        _kill(home, pod)
    gone = {p["metadata"]["uid"] for p in old}

    def replaced() -> bool:
        pods = home.list("pods", "--selector", SELECTOR)
        return bool(pods) and all(p["metadata"]["uid"] not in gone and _ready(p) for p in pods)

    kubectl.until("another operator pod to be ready", replaced, 90)


def _kill(home: Kube, pod: Obj) -> None:
    """End the operator in a pod by SIGKILL, from the node: a pod that is deleted by force still
    gets its SIGTERM, and PID 1 of a container hears no SIGKILL from inside. Then remove the pod,
    so that no pause after crashes holds up its successor.
    """
    name, node = pod["metadata"]["name"], pod["spec"]["nodeName"]
    script = (
        "killed=; for p in /proc/[0-9]*; do "
        'if grep -qzFx "BACKSTAY_IDENTITY=$0" "$p/environ" 2>/dev/null; then '
        'kill -KILL "${p#/proc/}" && killed=1; fi; done; [ -n "$killed" ]'
    )
    killer = f"kill-{secrets.token_hex(4)}"
    home.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": killer},
            "spec": {
                "nodeName": node,
                "hostPID": True,
                "restartPolicy": "Never",
                "tolerations": [{"operator": "Exists"}],
                "containers": [
                    {
                        "name": "kill",
                        "image": IMAGE,
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["sh", "-c", script, name],
                        "securityContext": {"privileged": True, "runAsUser": 0},
                    }
                ],
            },
        }
    )
    try:
        home.until(
            "the operator to be killed",
            lambda: home.get("pod", killer)["status"].get("phase") == "Succeeded",
            60,
        )
    finally:
        home.run("delete", "pod", killer, "--wait=false")
    home.run("delete", "pod", name, "--grace-period=0", "--force")


@contextmanager
def replicas(kubectl: Kube, count: int) -> Iterator[None]:
    """Have so many operators, all ready, as long as the block lasts."""
    home = kubectl.within(NAMESPACE)
    home.run("scale", "deployment/backstay", f"--replicas={count}")
    try:
        home.run("rollout", "status", "deployment/backstay", "--timeout=90s")
        yield
    finally:
        home.run("scale", "deployment/backstay", "--replicas=1")
        home.run("rollout", "status", "deployment/backstay", "--timeout=90s")


def kill_leader(kubectl: Kube) -> None:
    """Kill the operator that holds the Lease; another has it when this returns."""
    home = kubectl.within(NAMESPACE)

    def holder() -> str:
        return str(home.get("lease", "backstay")["spec"].get("holderIdentity") or "")

    old = kubectl.until("a leader", holder, 60)
    _kill(home, home.get("pod", old.partition("_")[0]))
    kubectl.until("another leader", lambda: holder() not in ("", old), 90)


@contextmanager
def through(kubectl: Kube, port: int) -> Iterator[None]:
    """Have the operator reach the API server through a port of loopback as long as the block
    lasts.
    """
    home = kubectl.within(NAMESPACE)
    containers = home.get("deployment", "backstay")["spec"]["template"]["spec"]["containers"]
    (usual,) = [e["value"] for e in containers[0]["env"] if e["name"] == API_PORT]
    _set_port(home, str(port))
    try:
        yield
    finally:
        _set_port(home, usual)


def _set_port(home: Kube, port: str) -> None:
    home.run("set", "env", "deployment/backstay", f"{API_PORT}={port}")
    home.run("rollout", "status", "deployment/backstay", "--timeout=90s")


def _ready(pod: Obj) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


@contextmanager
def refused(kubectl: Kube, verb: str, resource: str, when: str = "true") -> Iterator[None]:
    """Given a verb (CREATE, UPDATE, DELETE), `plural.group[/subresource]` and a CEL condition,
    have the operator's writes of that kind refused as long as the block lasts.
    """
    name = f"refuse-{secrets.token_hex(4)}"
    plural, _, rest = resource.partition(".")
    group, _, subresource = rest.partition("/")
    canary = f"canary-{name}"
    rules = [
        {
            "apiGroups": [group],
            "apiVersions": ["*"],
            "operations": [verb],
            "resources": [f"{plural}/{subresource}" if subresource else plural],
        },
        {
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "operations": ["CREATE"],
            "resources": ["configmaps"],
        },
    ]
    ours = f"request.userInfo.username == '{ACCOUNT}' && ({when})"
    expression = (
        f"request.resource.resource == 'configmaps' ? object.metadata.name != '{canary}' "
        f": !({ours})"
    )
    kubectl.create(
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": rules},
                "validations": [{"expression": expression, "message": "refused by a test"}],
            },
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        },
    )
    try:
        kubectl.until("the refusal to be in force", lambda: _is_refused(kubectl, canary), 30)
        yield
    finally:
        kubectl.run("delete", "validatingadmissionpolicybinding", name)
        kubectl.run("delete", "validatingadmissionpolicy", name)


def _is_refused(kubectl: Kube, canary: str) -> bool:
    try:
        kubectl.run("create", "configmap", canary, "--dry-run=server")
    except KubectlError as error:
        if "refused by a test" not in str(error):
            raise
        return True
    return False
