"""What a claim is restored from: what is refused, and what a person may pass over."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import snapshot
from tests.support.stored import bind, store

from backstay.api.restore import NewClaim
from backstay.domain import labels
from backstay.domain.errors import UserError
from backstay.domain.objects import Obj
from backstay.domain.restore.acknowledgement import Acknowledged
from backstay.kube.client import Client
from backstay.kube.resources import STORAGE_CLASS
from backstay.stores.snapshots.restore_source import Source, read_source


async def read(
    client: Client, namespace: str, said: Acknowledged, change: Obj | None = None, **new: Any
) -> Source:
    """Store a ready snapshot, changed as a test wants it, and read what a claim is made from it."""
    made = snapshot("one", "2026-11-20T00:00:00Z", bound=f"content-{namespace}")
    made["status"]["restoreSize"] = "1Gi"
    for key, value in (change or {}).items():
        made[key] = {**made[key], **value}
    await bind(client, await store(client, namespace, made))
    wanted = NewClaim(name="new", **new)
    return await read_source(client, namespace, "one", said, claim="data", new=wanted, kept=True)


async def refused(client: Client, namespace: str, change: Obj, **new: Any) -> UserError:
    with pytest.raises(UserError) as error:
        await read(client, namespace, Acknowledged(), change, **new)
    return error.value


BROKEN_RECORD = {"metadata": {"annotations": {labels.RECORD: "{no json"}}}
BOUND_BY_HAND = {"spec": {"source": {"volumeSnapshotContentName": "content"}}}
UNNAMED = {
    "metadata": {"name": "one", "labels": {labels.RESULT: "good"}, "annotations": {}},
    **BOUND_BY_HAND,
}


@pytest.mark.parametrize(
    ("change", "reason", "word"),
    [
        (BROKEN_RECORD, "RecordUnreadable", "RecordUnreadable"),
        (UNNAMED, "ClaimNotInSnapshot", "UnknownSource"),
    ],
)
async def test_what_a_snapshot_does_not_say_well_is_passed_over_by_its_word(
    client: Client, namespace: str, change: Obj, reason: str, word: str
) -> None:
    error = await refused(client, namespace, change)
    assert error.reason == reason
    assert f"add {word} to spec.acknowledge" in error.message


@pytest.mark.parametrize(
    ("change", "word"), [(BROKEN_RECORD, "RecordUnreadable"), (UNNAMED, "UnknownSource")]
)
async def test_with_its_word_the_claim_is_made_from_what_is_known(
    client: Client, namespace: str, change: Obj, word: str
) -> None:
    said = Acknowledged([word])
    source = await read(client, namespace, said, change)
    assert (source.record, source.size, list(said.used)) == (None, "1Gi", [word])


async def test_a_class_of_another_driver_may_be_tried(client: Client, namespace: str) -> None:
    name = f"other-{namespace}"
    body = {"metadata": {"name": name}, "provisioner": "kubernetes.io/aws-ebs"}
    await client.create(STORAGE_CLASS, body)
    said = Acknowledged(["OtherDriver"])

    source = await read(client, namespace, said, storage_class_name=name)

    assert (source.storage_class, list(said.used)) == (name, ["OtherDriver"])


async def test_a_size_that_nobody_knows_can_be_given(client: Client, namespace: str) -> None:
    nothing = {"status": {"restoreSize": "0"}}
    error = await refused(client, namespace, nothing)
    assert error.reason == "SizeUnknown"
    assert "set spec.claims[].to.newClaim.size" in error.message


@pytest.mark.parametrize(("says", "wanted", "size"), [("0", "3Gi", "3Gi"), ("1Gi", "2Gi", "2Gi")])
async def test_a_claim_is_as_large_as_it_is_asked_for(
    client: Client, namespace: str, says: str, wanted: str, size: str
) -> None:
    change = {"status": {"restoreSize": says}}
    source = await read(client, namespace, Acknowledged(), change, size=wanted)
    assert source.size == size


async def test_a_size_below_the_snapshot_s_is_refused(client: Client, namespace: str) -> None:
    error = await refused(client, namespace, {}, size="1Mi")
    assert (error.reason, "needs 1Gi" in error.message) == ("SizeTooSmall", True)
