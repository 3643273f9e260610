"""A restore that cannot be right is refused with the reason, and makes nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.e2e.kube import Kube, Obj
from tests.e2e.shop import CLAIM, Shop, policy


@pytest.fixture(scope="module")
def good(shop: Shop) -> str:
    shop.policy()
    name = shop.backup()
    shop.finished(name)
    return name


@pytest.fixture
def elsewhere(kubectl: Kube) -> Iterator[Shop]:
    with Shop(kubectl.within("e2e-elsewhere")) as found:
        yield found


def test_a_backup_that_does_not_exist(shop: Shop) -> None:
    refused = _refused(shop, {"backup": "nothing"}, "BackupNotFound")
    assert "there is no Backup nothing in namespace" in refused


def test_a_backup_that_failed(shop: Shop) -> None:
    wrong = policy(shop.name)["spec"]["dumps"][0] | {"postgres": {"databases": ["nowhere"]}}
    shop.policy("wrong", dumps=[wrong])
    failed = shop.backup(policy="wrong")
    shop.finished(failed, "Failed")
    refused = _refused(shop, {"backup": failed}, "BackupFailed")
    assert "has no good point" in refused


def test_a_backup_of_another_namespace(good: str, elsewhere: Shop) -> None:
    refused = _refused(elsewhere, {"backup": good}, "BackupNotFound")
    assert "only from its own namespace" in refused


def test_a_claim_name_that_exists(shop: Shop, good: str) -> None:
    before = shop.kubectl.get("persistentvolumeclaim", CLAIM)
    request = shop.restore({"backup": good}, CLAIM)
    condition = _ready(shop, request)
    assert (condition["status"], condition["reason"]) == ("False", "ClaimExists")
    assert CLAIM in condition["message"]
    after = shop.kubectl.get("persistentvolumeclaim", CLAIM)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert not _verify_pods(shop)


def test_a_claim_that_the_backup_does_not_have(shop: Shop, good: str) -> None:
    request = shop.restore({"backup": good}, "from-another", claim="another")
    condition = _ready(shop, request)
    assert condition["reason"] == "ClaimNotInBackup"
    assert not shop.kubectl.find("persistentvolumeclaim", "from-another")


def test_a_volume_snapshot_that_does_not_exist(shop: Shop) -> None:
    refused = _refused(shop, {"volumeSnapshot": "nothing"}, "SnapshotNotFound")
    assert "there is no VolumeSnapshot nothing" in refused


def test_a_volume_snapshot_by_name_is_restored(shop: Shop, good: str) -> None:
    (snapshot,) = shop.snapshots_of(good)
    request = shop.restore({"volumeSnapshot": snapshot["metadata"]["name"]}, "by-snapshot")
    done = shop.restored(request)
    assert done["status"]["backup"] == good


def _refused(shop: Shop, source: Obj, reason: str) -> str:
    """Ask for a restore, see it refused for this reason and nothing made; return the message."""
    request = shop.restore(source, "never")
    condition = _ready(shop, request)
    assert (condition["status"], condition["reason"]) == ("False", reason), condition
    assert not shop.kubectl.find("persistentvolumeclaim", "never")
    assert not _verify_pods(shop)
    return str(condition["message"])


def _ready(shop: Shop, request: str) -> Obj:
    found = shop.restored(request, "Refused")
    (condition,) = [c for c in found["status"]["conditions"] if c["type"] == "Ready"]
    return dict(condition)


def _verify_pods(shop: Shop) -> list[str]:
    names = [str(p["metadata"]["name"]) for p in shop.kubectl.list("pods")]
    return [name for name in names if name.startswith("verify-")]
