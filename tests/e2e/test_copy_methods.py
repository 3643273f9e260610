"""Copies of a snapshot and of a clone on the real cluster, whose class waits for the first Pod."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from tests.e2e.disks import Disks
from tests.e2e.kube import Obj
from tests.e2e.shop import API, CLAIM, PREFIX, Shop

POLICY: dict[str, Any] = {
    "source": {"claims": {"names": [CLAIM], "subPath": "backstay"}},
    "retention": {"last": 5, "adhocDays": 5},
}
METHODS = ["Snapshot", "Clone"]
DATA = "/var/lib/postgresql/data"


@pytest.fixture(scope="module")
def kept(shop: Shop) -> Shop:
    """The shop, with a claim for copies."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "copies"}}
    shop.kubectl.apply({**claim, "spec": spec})
    return shop


def run(shop: Shop, method: str, *phases: str, **rolling: Any) -> Obj:
    """Run a policy of both stores to its end."""
    name = f"{method.lower()}-{secrets.token_hex(3)}"
    copies = {
        "destination": {"claim": {"name": "copies"}},
        "allowSameFileSystem": True,
        "copyMethod": method,
        **rolling,
    }
    shop.policy(name, **POLICY, rolling=copies)
    return shop.finished(shop.backup(policy=name), *phases)


def points(backup: Obj) -> dict[str, Obj]:
    return {p["store"]: p for p in backup["status"]["points"]}


def temporary(shop: Shop) -> list[Obj]:
    return [*shop.kubectl.list("persistentvolumeclaims", "--selector", f"{PREFIX}temporary")]


def assert_none_left(shop: Shop) -> None:
    shop.kubectl.until("the temporary claims to go", lambda: not temporary(shop) or None, 60)


@pytest.mark.parametrize("method", METHODS)
def test_a_copy_has_the_dump_of_its_run_and_leaves_no_claim(kept: Shop, method: str) -> None:
    done = run(kept, method)

    assert {p["result"] for p in done["status"]["points"]} == {"good"}
    (dump,) = done["status"]["dumps"]
    if method == "Snapshot":
        assert points(done)["Rolling"]["takenAt"] == points(done)["Snapshot"]["takenAt"]
    assert_none_left(kept)

    there = restored(kept, done)
    digest = kept.kubectl.exec("pg-0", "sha256sum", f"{there}/shop.dump", container="postgres")
    assert digest.split()[0] == dump["sha256"]


def restored(shop: Shop, backup: Obj) -> str:
    """Restore the copy of a run beside its source; return the directory in the container."""
    request = f"copy-{secrets.token_hex(3)}"
    to = {"claim": {"name": CLAIM, "subPath": f"backstay-{request}"}}
    spec = {"from": {"backup": backup["metadata"]["name"]}, "directory": to}
    meta = {"name": request, "namespace": shop.name}
    body = {"apiVersion": API, "kind": "RestoreRequest", "metadata": meta, "spec": spec}
    shop.kubectl.create(body)
    shop.restored(request)
    return f"{DATA}/backstay-{request}"


def write(shop: Shop, text: str) -> None:
    """Write what is in the file `moment` beside the dump."""
    script = f"printf {text} > {DATA}/backstay/moment"
    shop.kubectl.exec("pg-0", "sh", "-c", script, container="postgres")


def test_a_copy_of_a_snapshot_has_nothing_of_what_was_written_after_it(
    kept: Shop, disks: Disks
) -> None:
    write(kept, "before")
    waits = "it waits until its snapshot is ready"

    def waiting() -> str | None:
        (found,) = kept.kubectl.list("backups.backstay.dev", "--field-selector", selector)
        status = found.get("status", {})
        return str(status["phase"]) if waits in str(status.get("message")) else None

    with disks.fault("ready-delay", "10", kept.volume()):
        name = f"moment-{secrets.token_hex(3)}"
        selector = f"spec.policy={name}"
        copies = {"destination": {"claim": {"name": "copies"}}, "allowSameFileSystem": True}
        kept.policy(name, **POLICY, rolling={**copies, "copyMethod": "Snapshot"})
        backup = kept.backup(policy=name)
        assert kept.kubectl.until("the copy to wait", waiting, 60) == "Copying"
        write(kept, "after")
        done = kept.finished(backup)

    there = restored(kept, done)
    assert kept.kubectl.exec("pg-0", "cat", f"{there}/moment", container="postgres") == "before"


def test_what_did_not_change_is_linked_though_each_copy_is_of_another_volume(kept: Shop) -> None:
    large = f"{DATA}/backstay/large"
    kept.kubectl.exec(
        "pg-0", "sh", "-c", f"head -c 5000000 /dev/urandom > {large}", container="postgres"
    )
    first = run(kept, "Snapshot")
    again = kept.finished(kept.backup(policy=first["spec"]["policy"]))

    new = [points(b)["Rolling"]["rolling"]["newBytes"] for b in (first, again)]
    assert new[0] >= 5_000_000
    assert new[1] < 1_000_000


def test_a_claim_that_must_not_be_made_fails_the_copy_by_its_reason(kept: Shop) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "no-claims"},
        "spec": {"hard": {"persistentvolumeclaims": 2}},
    }
    kept.kubectl.apply(quota)
    try:
        done = run(kept, "Clone", "PartiallyFailed", startTimeout="10s")
    finally:
        kept.kubectl.run("delete", "resourcequota", "no-claims")

    assert points(done)["Snapshot"]["result"] == "good"
    assert "exceeded quota: no-claims" in points(done)["Rolling"]["message"]
    assert temporary(kept) == []
