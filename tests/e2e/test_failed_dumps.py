"""A dump that fails counts as nothing, says why, and harms nothing that is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.e2e.kube import Obj
from tests.e2e.shop import DUMP, Shop, ours, policy


@pytest.fixture(scope="module", autouse=True)
def good(shop: Shop) -> tuple[str, str]:
    """Return a good point made before anything fails, and the checksum of its dump file."""
    shop.policy()
    name = shop.backup()
    shop.finished(name)
    (snapshot,) = shop.snapshots_of(name)
    return str(snapshot["metadata"]["name"]), _checksum(shop)


def test_a_wrong_database(shop: Shop, good: tuple[str, str]) -> None:
    wrong = policy(shop.name)["spec"]["dumps"][0] | {"postgres": {"databases": ["nowhere"]}}
    shop.policy("wrong", dumps=[wrong])
    failed = shop.finished(shop.backup(policy="wrong"), "Failed")
    assert 'database "nowhere" does not exist' in failed["status"]["message"]
    _nothing_counts_and_nothing_is_harmed(shop, failed, good)


def test_a_killed_backend(shop: Shop, good: tuple[str, str]) -> None:
    """pg_dump waits for a table lock; its server process is terminated meanwhile."""
    with shop.table_locked():
        name = shop.backup()
        shop.kubectl.until(
            "pg_dump to wait for the lock",
            lambda: shop.sql(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where application_name = 'pg_dump' and wait_event_type = 'Lock'"
            ),
            60,
        )
        failed = shop.finished(name, "Failed")
    assert "terminat" in failed["status"]["message"]
    _nothing_counts_and_nothing_is_harmed(shop, failed, good)


def test_a_full_disk(shop: Shop, good: tuple[str, str]) -> None:
    shop.sql(
        "create table big as select md5(random()::text) || md5(random()::text) "
        "from generate_series(1, 500000)"
    )
    shop.sql("checkpoint")
    with _disk_filled(shop, leaving=8 * 1024 * 1024):
        failed = shop.finished(shop.backup(), "Failed")
    shop.sql("drop table big")
    # What a full disk is called where volumes are quotas of one file system.
    words = ("No space left on device", "Disk quota exceeded")
    assert any(word in failed["status"]["message"] for word in words)
    _nothing_counts_and_nothing_is_harmed(shop, failed, good)


def _nothing_counts_and_nothing_is_harmed(shop: Shop, failed: Obj, good: tuple[str, str]) -> None:
    for snapshot in shop.snapshots_of(failed["metadata"]["name"]):
        labels = ours(snapshot)
        assert labels["result"] == "failed"
        assert not {"daily", "weekly", "monthly"} & labels.keys()
    assert ours(shop.kubectl.get("volumesnapshot", good[0]))["result"] == "good"
    assert _checksum(shop) == good[1]
    folder = DUMP.rsplit("/", 1)[0]
    assert ".partial" not in shop.kubectl.exec("pg-0", "ls", folder, container="postgres")
    shop.kubectl.exec("pg-0", "pg_restore", "-l", DUMP, container="postgres")
    assert shop.sql("select 1") == "1"


@contextmanager
def _disk_filled(shop: Shop, leaving: int) -> Iterator[None]:
    """Have the volume full but for about so many bytes, as long as the block lasts."""
    folder = "/var/lib/postgresql/data/filler"
    script = f"""
        mkdir {folder}; cd {folder}; n=0
        for size in 67108864 {leaving // 2}; do
            while fallocate --length $size $n 2>/dev/null; do n=$((n + 1)); done
            rm -f $n
        done
        rm $((n - 1)) $((n - 2))
    """
    shop.kubectl.exec("pg-0", "sh", "-c", script, container="postgres")
    try:
        yield
    finally:
        shop.kubectl.exec("pg-0", "rm", "-r", folder, container="postgres")


def _checksum(shop: Shop) -> str:
    return shop.kubectl.exec("pg-0", "sha256sum", DUMP, container="postgres")
