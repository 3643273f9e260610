"""Of several replicas the preferred one is dumped, and its own claim is the one snapshotted."""

from __future__ import annotations

from tests.e2e.kube import Obj
from tests.e2e.shop import Shop, policy, postgres

SIGNAL = 'touch "$PGDATA/standby.signal"'


def replicas(namespace: str) -> Obj:
    """Two PostgreSQL servers of one StatefulSet; what they replicate is no matter here."""
    made = postgres(namespace)
    made["spec"] |= {"replicas": 2, "podManagementPolicy": "Parallel"}
    return made


def dumped(shop: Shop, prefer: str) -> tuple[str, list[str]]:
    """Run a policy that prefers a role; return the pod that was dumped, and the claims that have a
    snapshot.
    """
    dump = policy(shop.name)["spec"]["dumps"][0]
    dump["target"] = {**dump["target"], "prefer": prefer}
    shop.policy(source={"claims": {"ofDumps": True}}, dumps=[dump])
    done = shop.finished(shop.backup())
    (taken,) = done["status"]["dumps"]
    points = done["status"]["points"]
    assert [p["source"] for p in points] == [taken["claim"]]
    claims = [
        s["spec"]["source"]["persistentVolumeClaimName"]
        for s in shop.snapshots_of(done["metadata"]["name"])
    ]
    return taken["pod"], claims


def test_the_preferred_replica_is_found_by_asking_and_by_its_label(namespace: Shop) -> None:
    shop = namespace
    shop.kubectl.apply(replicas(shop.name))
    shop.kubectl.run("rollout", "status", "statefulset/pg", "--timeout=110s")
    shop.kubectl.exec("pg-0", "sh", "-c", SIGNAL, container="postgres")
    shop.kubectl.run("delete", "pod", "pg-0")
    shop.kubectl.run("rollout", "status", "statefulset/pg", "--timeout=110s")
    assert shop.sql("select pg_is_in_recovery()") == "t"

    assert dumped(shop, "Primary") == ("pg-1", ["data-pg-1"])
    assert dumped(shop, "Standby") == ("pg-0", ["data-pg-0"])

    shop.kubectl.run("label", "pod", "pg-0", "role=primary")
    shop.kubectl.run("label", "pod", "pg-1", "role=replica")
    assert dumped(shop, "Primary") == ("pg-0", ["data-pg-0"])
