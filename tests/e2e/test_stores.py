"""One policy, two stores: a claim as snapshots, and its dumps as rolling copies as well."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

import pytest
from tests.e2e.kube import Obj
from tests.e2e.shop import API, CLAIM, Shop

from backstay.domain.times import parse_time

SOURCE = f"{CLAIM}/backstay"
"""The directory of the claim that the dump is written to."""
DAYS = {"Snapshot": 5, "Rolling": 2}
BOTH: dict[str, Any] = {
    "source": {"claims": {"names": [CLAIM], "subPath": "backstay"}},
    "snapshot": {"className": "btrfs-retain", "retention": {"last": 5, "adhocDays": 5}},
    "rolling": {
        "destination": {"claim": {"name": "copies"}},
        "allowSameFileSystem": True,
        "retention": {"last": 1, "adhocDays": 2},
    },
    "retention": None,
}


@pytest.fixture(scope="module")
def kept(shop: Shop) -> Shop:
    """The shop, with a claim for copies."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "copies"}}
    shop.kubectl.apply({**claim, "spec": spec})
    return shop


def run(shop: Shop, *phases: str, **changes: Any) -> Obj:
    """Run a policy of both stores to its end."""
    name = f"both-{secrets.token_hex(3)}"
    shop.policy(name, **{**BOTH, **changes})
    return shop.finished(shop.backup(policy=name), *phases)


def results(backup: Obj) -> dict[tuple[str, str], str]:
    return {(p["source"], p["store"]): p["result"] for p in backup["status"]["points"]}


def point(backup: Obj, store: str) -> Obj:
    (found,) = [p for p in backup["status"]["points"] if p["store"] == store]
    return dict(found)


def test_one_run_keeps_the_claim_as_a_snapshot_and_its_dump_as_a_copy(kept: Shop) -> None:
    done = run(kept)

    assert results(done) == {(CLAIM, "Snapshot"): "good", (SOURCE, "Rolling"): "good"}
    (snapshot,) = kept.snapshots_of(done["metadata"]["name"])
    assert point(done, "Snapshot")["ref"] == snapshot["metadata"]["name"]
    status = kept.kubectl.until(
        "the policy to count both series",
        lambda: found if len(found := series(kept, done)) == 2 else None,
    )
    assert status == {(CLAIM, "Snapshot"): 1, (SOURCE, "Rolling"): 1}


def series(shop: Shop, backup: Obj) -> dict[tuple[str, str], int]:
    policy = shop.kubectl.get("backuppolicy", backup["spec"]["policy"])
    found = policy.get("status", {}).get("series", [])
    return {(s["source"], s["store"]): s["good"] for s in found}


def test_either_point_is_restored(kept: Shop) -> None:
    done = run(kept)
    (dump,) = done["status"]["dumps"]

    source = {"backup": done["metadata"]["name"]}
    from_snapshot = kept.restored(kept.restore(source, "aside"))
    from_copy = kept.restored(kept.restore({**source, "store": "Rolling"}, "of-copy"))
    stores = [one["status"]["items"][0]["store"] for one in (from_snapshot, from_copy)]
    assert stores == ["Snapshot", "Rolling"]
    request = f"copy-{secrets.token_hex(3)}"
    to = {"claim": {"name": CLAIM, "subPath": f"backstay-{request}"}}
    spec = {"from": {"backup": done["metadata"]["name"]}, "directory": to}
    meta = {"name": request, "namespace": kept.name}
    body = {"apiVersion": API, "kind": "RestoreRequest", "metadata": meta, "spec": spec}
    kept.kubectl.create(body)
    kept.restored(request)

    back = f"/var/lib/postgresql/data/backstay-{request}/shop.dump"
    digest = kept.kubectl.exec("pg-0", "sha256sum", back, container="postgres").split()[0]
    assert digest == dump["sha256"]


def test_each_store_keeps_its_points_for_as_long_as_it_says(kept: Shop) -> None:
    done = run(kept)

    def kept_until() -> dict[str, str] | None:
        found = kept.kubectl.get("backups.backstay.dev", done["metadata"]["name"])
        until = {p["store"]: p.get("until", "") for p in found["status"]["points"]}
        return until if all(until.values()) else None

    until = kept.kubectl.until("the record to say how long its points are kept", kept_until)
    assert until == {store: days_from_now(kept, done, days) for store, days in DAYS.items()}


def days_from_now(shop: Shop, backup: Obj, days: int) -> str:
    """A point of an ad-hoc run, as the Until column shows it."""
    (snapshot,) = shop.snapshots_of(backup["metadata"]["name"])
    taken = parse_time(snapshot["status"]["creationTime"])
    return f"until {taken + timedelta(days=days):%m-%d}"


@pytest.mark.parametrize(
    ("changes", "good", "named"),
    [
        (
            {"rolling": {**BOTH["rolling"], "keepFree": {"bytes": "1000Ti"}}},
            (CLAIM, "Snapshot"),
            f"copy {SOURCE}: ",
        ),
        (
            {"snapshot": {**BOTH["snapshot"], "takeTimeout": "3s"}},
            (SOURCE, "Rolling"),
            f"claim {CLAIM}: ",
        ),
    ],
    ids=["no room for copies", "no snapshot in time"],
)
def test_a_store_that_fails_leaves_the_point_of_the_other_good(
    kept: Shop, changes: dict[str, Any], good: tuple[str, str], named: str
) -> None:
    quota = "count/volumesnapshots.snapshot.storage.k8s.io"
    full = {"hard": {quota: len(kept.snapshots())}}
    if good[1] == "Rolling":
        body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full"}}
        kept.kubectl.apply({**body, "spec": full})
    try:
        done = run(kept, "PartiallyFailed", **changes)
    finally:
        kept.kubectl.run("delete", "resourcequota", "full", "--ignore-not-found")

    assert {key for key, result in results(done).items() if result == "good"} == {good}
    assert named in done["status"]["message"]
