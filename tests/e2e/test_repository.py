"""Off the cluster and back from nothing, with a real S3 server over TLS: a database is backed up,
its namespace and all snapshots are deleted, and it comes up in another namespace with its rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.e2e.kube import Kube
from tests.e2e.offsite import REPOSITORY, S3, add_repository, opened, stored
from tests.e2e.shop import CHECKSUM, CLAIM, Shop, postgres

UPLOADED = 180


@pytest.fixture
def elsewhere(kubectl: Kube, shop: Shop) -> Iterator[Shop]:
    """Return another namespace, which knows nothing of the first."""
    with Shop(kubectl.within(f"{shop.name}-back")) as found:
        yield found


def test_a_database_comes_back_from_s3_in_another_namespace_when_all_else_is_gone(
    shop: Shop, elsewhere: Shop, s3: S3
) -> None:
    rows = shop.sql(CHECKSUM)
    add_repository(shop, s3, shop.name)
    assert opened(shop)["status"]["id"] == s3.restic(shop.name, "cat", "config")["id"]
    shop.policy(repository={"name": REPOSITORY})
    done = shop.finished(shop.backup(), seconds=UPLOADED)
    point = stored(done)
    listed = {s["id"]: s for s in s3.restic(shop.name, "snapshots")}
    assert listed[point["stored"]["data"]]["hostname"] == f"{shop.name}/{CLAIM}"
    assert point["stored"]["record"] in listed
    shop.sql("insert into orders values (0, 'after the backup')")

    shop.kubectl.run("delete", "namespace", shop.name, "--timeout", "120s")
    shop.__exit__(None, None, None)  # The disk snapshots of a Retain class outlive it.
    shop.kubectl.until("the disk snapshots to be gone", lambda: not shop.contents(), 60)

    add_repository(elsewhere, s3, shop.name, access="ReadOnly", initialise="Never")
    opened(elsewhere)
    # What another namespace has stored is not taken for one's own, though the claim's name fits.
    unnamed = elsewhere.restore({"repository": {"name": REPOSITORY}}, new_claim=CLAIM)
    refused = elsewhere.restored(unnamed, "Failed", seconds=UPLOADED)
    assert "set spec.from.repository.host" in refused["status"]["message"]
    assert elsewhere.kubectl.list("persistentvolumeclaims") == []
    named = {"name": REPOSITORY, "host": f"{shop.name}/{CLAIM}"}
    restored = elsewhere.restored(
        elsewhere.restore({"repository": named}, new_claim=CLAIM), seconds=UPLOADED
    )
    (item,) = restored["status"]["items"]
    assert item["ref"] == point["stored"]["data"]
    elsewhere.kubectl.apply(postgres(elsewhere.name))
    elsewhere.kubectl.run("rollout", "status", "statefulset/pg", "--timeout", "110s")
    assert elsewhere.sql(CHECKSUM) == rows
