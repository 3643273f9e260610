"""50 dumps asked for at once: the operator's memory while they go through its pools.

On the local cluster, in four PostgreSQL servers: a server is dumped by one run at a time, so most
of the 50 wait most of the time. The operator is killed once in the middle.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from tests.bench.figure import Figure
from tests.bench.idle import CLUSTER, ROOT, read_operator
from tests.e2e import operator_pod
from tests.e2e.kube import Kube, Obj
from tests.e2e.shop import Shop, policy, postgres
from tests.support.kubectl import Kubectl

RUNS = 50
SERVERS = 4
LIMIT = 900.0
GOAL = 200.0
"""MiB."""


def measure() -> list[Figure]:
    """Return the operator's largest resident set, and how long 50 runs took."""
    subprocess.run([CLUSTER, "up"], check=True)
    subprocess.run([ROOT / "hack/deploy"], check=True)
    found = subprocess.run([CLUSTER, "kubeconfig"], check=True, capture_output=True, text=True)
    kubeconfig = Path(found.stdout.strip())
    with Shop(Kube(kubeconfig, "bench-many")) as shop:
        return _measure(shop, Kubectl(kubeconfig, operator_pod.NAMESPACE))


def _measure(shop: Shop, operator: Kubectl) -> list[Figure]:
    for server in range(SERVERS):
        shop.kubectl.apply(_server(shop.name, f"pg{server}"))
    for server in range(SERVERS):
        shop.kubectl.run("rollout", "status", f"statefulset/pg{server}", "--timeout=110s")
    shop.kubectl.apply(*(_policy(shop.name, number) for number in range(RUNS)))
    began = time.monotonic()
    for number in range(RUNS):
        shop.backup(f"run-{number:02}", policy=f"many-{number}")
    most, killed, done = 0.0, False, 0
    while done < RUNS:
        if time.monotonic() - began > LIMIT:
            raise RuntimeError(f"only {done} of {RUNS} runs are Completed after {LIMIT:g} s")
        time.sleep(1)
        _, resident = read_operator(operator)
        most = max(most, resident / 2**20)
        phases = [
            b.get("status", {}).get("phase") for b in shop.kubectl.list("backups.backstay.dev")
        ]
        if "Failed" in phases:
            raise RuntimeError("a run failed")
        done = phases.count("Completed")
        if done >= RUNS // 2 and not killed:
            operator_pod.kill(shop.kubectl)
            killed = True
    seconds = time.monotonic() - began
    once = len(shop.snapshots(result="good"))
    method = f"{RUNS} Backups created at once, {SERVERS} PostgreSQL servers, operator killed once"
    return [
        Figure("many resident set", most, "MiB", f"< {GOAL:g}", most < GOAL, method),
        Figure("many good snapshots", once, "", f"= {RUNS}", once == RUNS, method),
        Figure("many seconds", seconds, "s", f"< {LIMIT:g}", seconds < LIMIT, method),
    ]


def _server(namespace: str, name: str) -> Obj:
    made = postgres(namespace)
    made["metadata"]["name"] = name
    labels = {"matchLabels": {"app": name}}
    made["spec"] |= {"serviceName": name, "selector": labels}
    made["spec"]["template"]["metadata"] = {"labels": {"app": name}}
    return made


def _policy(namespace: str, number: int) -> Obj:
    server = f"pg{number % SERVERS}"
    dump = policy(namespace)["spec"]["dumps"][0]
    dump["target"] = {**dump["target"], "name": server}
    dump["file"] = f"/var/lib/postgresql/data/backstay/{number}.dump"
    claims = {"claims": {"names": [f"data-{server}-0"]}}
    return policy(namespace, f"many-{number}", source=claims, dumps=[dump])
