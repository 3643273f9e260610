"""50 dumps asked for at once: the operator's memory while they go through its pools.

On the local cluster, in eight PostgreSQL servers: a server is dumped by one run at a time, and a
node has slots for two, so most of the 50 wait most of the time. The operator is killed once in
the middle.
"""

from __future__ import annotations

import secrets
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.bench.figure import Figure
from tests.bench.idle import CLUSTER, ROOT, read_operator
from tests.e2e import operator_pod
from tests.e2e.kube import Kube, Obj
from tests.e2e.shop import API, Shop, policy, postgres
from tests.support.kubectl import Kubectl

from backstay.domain.run.concurrency import HOLDING

RUNS = 50
SERVERS = 8
NODE = 2
"""The share of one namespace in the chart's permits of a node: with more servers than those of two
nodes, all are always taken."""
LIMIT = 900.0
GOAL = 200.0
"""MB."""


def measure() -> list[Figure]:
    """Return the operator's largest resident set, and how long 50 runs took."""
    subprocess.run([CLUSTER, "up"], check=True)
    subprocess.run([ROOT / "hack/deploy"], check=True)
    found = subprocess.run([CLUSTER, "kubeconfig"], check=True, capture_output=True, text=True)
    kubeconfig = Path(found.stdout.strip())
    # That of an earlier run may still be going away.
    with Shop(Kube(kubeconfig, f"bench-queue-{secrets.token_hex(2)}")) as shop:
        return _measure(shop, Kubectl(kubeconfig, operator_pod.NAMESPACE))


def _measure(shop: Shop, operator: Kubectl) -> list[Figure]:
    for server in range(SERVERS):
        shop.kubectl.apply(_server(shop.name, f"pg{server}"))
    for server in range(SERVERS):
        shop.kubectl.run("rollout", "status", f"statefulset/pg{server}", "--timeout=110s")
    shop.kubectl.apply(*(_policy(shop.name, number) for number in range(RUNS)))
    began = time.monotonic()
    shop.kubectl.create(*(_run(shop.name, number) for number in range(RUNS)))
    most, killed, done, fullest = 0.0, False, 0, Counter[str]()
    while done < RUNS:
        if time.monotonic() - began > LIMIT:
            raise RuntimeError(f"only {done} of {RUNS} runs are Completed after {LIMIT:g} s")
        time.sleep(1)
        _, resident = read_operator(operator)
        most = max(most, resident / 1e6)
        runs = shop.kubectl.list("backups.backstay.dev")
        fullest |= _taken(runs)
        phases = [_phase(run) for run in runs]
        if {"Failed", "PartiallyFailed"} & set(phases):
            raise RuntimeError("a run failed")
        done = phases.count("Completed")
        if done >= RUNS // 2 and not killed:
            operator_pod.kill(shop.kubectl)
            killed = True
    seconds = time.monotonic() - began
    once = len(shop.snapshots(result="good"))
    on_node = max(count for pool, count in fullest.items() if pool.startswith("node/"))
    overtaken = _overtaken(runs)
    method = f"{RUNS} Backups created at once, {SERVERS} PostgreSQL servers, operator killed once"
    return [
        Figure("queue resident set", most, "MB", f"< {GOAL:g}", most < GOAL, method),
        Figure("queue good snapshots", once, "", f"= {RUNS}", once == RUNS, method),
        Figure("queue dumps at once on a node", on_node, "", f"= {NODE}", on_node == NODE, method),
        Figure("queue runs overtaken", overtaken, "", "= 0", overtaken == 0, method),
        Figure("queue seconds", seconds, "s", f"< {LIMIT:g}", seconds < LIMIT, method),
    ]


def _phase(run: Obj) -> str | None:
    phase: str | None = run.get("status", {}).get("phase")
    return phase


def _taken(runs: Sequence[Obj]) -> Counter[str]:
    """How many runs have a permit of each pool, in one consistent list."""
    holding = [run for run in runs if _phase(run) in {p.value for p in HOLDING}]
    return Counter(pool for run in holding for pool in run["status"]["pools"])


def _overtaken(runs: Sequence[Obj]) -> int:
    """How many runs started later than one asked for after them that needs all the same."""
    started = {run["metadata"]["name"]: run["status"]["attemptedAt"] for run in runs}
    names = sorted(started)
    return sum(
        any(started[later] < started[name] for later in names[place + SERVERS :: SERVERS])
        for place, name in enumerate(names)
    )


def _run(namespace: str, number: int) -> Obj:
    return {
        "apiVersion": API,
        "kind": "Backup",
        "metadata": {"name": f"run-{number:02}", "namespace": namespace},
        "spec": {"policy": f"many-{number}"},
    }


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
