"""Commands of the how-tos that need no more than an API server, run as they stand."""

from __future__ import annotations

from pathlib import Path

import yaml
from tests.support.builders import SHA, record, snapshot
from tests.support.guides import Guide
from tests.support.stored import bind, store

from backstay.domain import labels, objects
from backstay.domain.records.annotation import parse_record
from backstay.domain.records.record import DumpRecord
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP_POLICY, VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT

DUMP = DumpRecord("shop", "postgres", '/data/a "b" ü\\n', "a b", SHA, 2048, 999, 998)


async def test_the_pair_of_an_orphan_carries_all_that_the_orphan_does(
    client: Client, namespace: str, kubeconfig: Path, tmp_path: Path
) -> None:
    # given a content that lost its snapshot, with labels and notes of ours and of others, and a
    # handle that YAML would take for a number
    text = record(namespace=namespace, dumps=(DUMP,))
    stored = await store(
        client, namespace, snapshot("lost", "2026-11-22T00:32:00Z", bound=f"{namespace}-lost")
    )
    content = await bind(client, stored, policy="Retain")
    ours = {**objects.labels(stored), labels.DELETE_AFTER: ""}
    notes = {labels.RECORD: text, labels.MARKED_AT: "2026-11-22T03:00:00+01:00"}
    content = await client.patch(
        VOLUME_SNAPSHOT_CONTENT,
        objects.name(content),
        None,
        {
            "metadata": {
                "resourceVersion": objects.version(content),
                "labels": {**ours, "app": "x"},
                "annotations": {**notes, "other.example/note": "y"},
            }
        },
    )
    await client.patch(
        VOLUME_SNAPSHOT_CONTENT,
        objects.name(content),
        None,
        {
            "metadata": {"resourceVersion": objects.version(content)},
            "status": {"snapshotHandle": "0123"},
        },
        subresource="status",
    )
    await client.delete(VOLUME_SNAPSHOT, "lost", namespace, uid=objects.uid(stored))

    guide = Guide("rebind-an-orphan.md", kubeconfig, tmp_path)
    guide.run("pair.tmpl", {}, content=objects.name(content))

    made = list(yaml.safe_load_all((tmp_path / "pair.yaml").read_text(encoding="utf-8")))
    for obj in made:
        assert objects.labels(obj) == ours
        assert objects.annotations(obj) == notes
        assert parse_record(objects.annotations(obj)[labels.RECORD]).dumps == (DUMP,)
    assert made[0]["spec"]["source"] == {"snapshotHandle": "0123"}
    assert made[0]["spec"]["deletionPolicy"] == "Retain"
    # and the API server takes both
    for resource, obj in zip((VOLUME_SNAPSHOT_CONTENT, VOLUME_SNAPSHOT), made, strict=True):
        await client.create(resource, obj)


async def test_the_oldest_series_are_found_by_source_and_store(
    client: Client, namespace: str, kubeconfig: Path, tmp_path: Path
) -> None:
    spec = {"source": {"claims": {"names": ["data"]}}}
    for name, newest in (("old", "2020-01-01T00:00:00Z"), ("fresh", "2999-01-01T00:00:00Z")):
        meta = {"name": name, "namespace": namespace}
        made = await client.create(BACKUP_POLICY, {"metadata": meta, "spec": spec})
        series = [
            {"source": "data", "store": kind, "good": 1, "newest": newest}
            for kind in ("Snapshot", "Rolling")
        ]
        body = {
            "metadata": {"resourceVersion": objects.version(made)},
            "status": {"good": 2, "series": series},
        }
        await client.patch(BACKUP_POLICY, name, namespace, body, subresource="status")
    meta = {"name": "never", "namespace": namespace}
    await client.create(BACKUP_POLICY, {"metadata": meta, "spec": spec})

    found = Guide("watch.md", kubeconfig, tmp_path).run("26 hours ago", {})

    mine = [line for line in found.splitlines() if f" {namespace}/" in line]
    assert sorted(mine) == [
        f"2020-01-01T00:00:00Z {namespace}/old data Rolling",
        f"2020-01-01T00:00:00Z {namespace}/old data Snapshot",
        f"never {namespace}/never",
    ]
