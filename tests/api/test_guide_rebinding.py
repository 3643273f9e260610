"""docs/how-to/rebind-an-orphan.md, followed word by word, with hands in between.

The snapshot controller and the sidecar are played, and with them what a driver says of the time
of a snapshot that it only finds again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import yaml
from tests.support.adoption import P, backups, prefixed, snapshots
from tests.support.builders import snapshot
from tests.support.kubectl import Kubectl
from tests.support.operator_process import running_operator
from tests.support.rebinding import (
    SAMPLE,
    Rebind,
    Rebinding,
    ago,
    dated,
    make_orphan,
    make_policy,
    open_page,
    rebinding,
    run_pass,
)
from tests.support.snapshot_player import playing
from tests.support.stored import bind, store

from backstay.domain import labels, objects
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP_POLICY, VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT


@pytest.fixture
def read(kubeconfig: Path, tmp_path: Path) -> Callable[[], Rebinding]:
    """Return what opens a new page."""
    return lambda: open_page(kubeconfig, tmp_path)


@pytest.fixture
def rebind(kubeconfig: Path, tmp_path: Path) -> Rebind:
    """Return what rebinds one content."""
    return rebinding(kubeconfig, tmp_path)


async def test_the_page_brings_back_a_namespace_that_is_empty_and_its_records(
    client: Client, namespace: str, kubeconfig: Path, tmp_path: Path, read: Callable[[], Rebinding]
) -> None:
    lost = [await make_orphan(client, namespace, f"p{days}", days) for days in (1, 2, 3)]
    log = tmp_path / "operator.log"
    async with playing(client):
        # hands: the policy is applied before anything is rebound, and the operator makes records
        await make_policy(client, namespace)
        async with running_operator(
            kubeconfig, "default", lease=f"{namespace}-1", log=log, resync="PT2S"
        ):
            await until("three records", lambda: recorded(client, namespace, 3), log)
            page = read()
            listed = await page.choose(lost[0])
            assert all(content in listed for content in lost)
            await page.step("pair.tmpl")
        # hands: what the reader pastes is pasted twice, and the operator was restarted meanwhile
        async with running_operator(
            kubeconfig, "default", lease=f"{namespace}-2", log=log, resync="PT2S"
        ):
            await page.step("kubectl wait -f pair.yaml")
            for content in lost[1:]:
                other = read()
                await other.choose(content)
                await other.rest()
            listed = await read().choose(lost[0])
            assert not any(content in listed for content in lost)
            # hands: a record is deleted before the page comes to records
            found = await backups(client, namespace)
            kubectl = Kubectl(kubeconfig, namespace)
            assert kubectl("delete", "backups.backstay.dev", "b-p1").ok
            await page.step("backstay.dev/rebuild=true", {"-n shop": f"-n {namespace}"})
            await until("three records", lambda: recorded(client, namespace, 3), log)
            await until("the end of the rebuild", lambda: rebuilt(client, namespace), log)
            unwanted = await make_orphan(client, namespace, "p4", 4)
            await page.step('"deletionPolicy":"Delete"', {SAMPLE: unwanted})
            page.page.finish()
            assert await client.find(VOLUME_SNAPSHOT_CONTENT, unwanted) is None
            await until("three mirrored points", lambda: mirrored(client, namespace, 3), log)
    assert set(await backups(client, namespace)) == set(found) == {"b-p1", "b-p2", "b-p3"}
    after = await snapshots(client, namespace)
    assert set(after) == {"p1", "p2", "p3"}
    for point in after.values():
        assert prefixed(point, P)["result"] == "good"
        assert labels.MARKED_AT not in objects.annotations(point)


async def until(what: str, check: Callable[[], Awaitable[bool]], log: Path) -> None:
    try:
        async with asyncio.timeout(120):
            while True:
                if await check():
                    return
                await asyncio.sleep(0.2)
    except TimeoutError:
        words = await asyncio.to_thread(log.read_text, encoding="utf-8")
        raise AssertionError(f"not within 120 s: {what}; log:\n{words[-4000:]}") from None


async def rebuilt(client: Client, namespace: str) -> bool:
    """Whether a policy's records are back: until then an orphan that comes gets one too."""
    policy = await client.get(BACKUP_POLICY, "shop", namespace)
    return labels.REBUILD not in objects.annotations(policy)


async def recorded(client: Client, namespace: str, count: int) -> bool:
    found = await backups(client, namespace)
    return len(found) == count and all(b.get("status", {}).get("phase") for b in found.values())


async def mirrored(client: Client, namespace: str, count: int) -> bool:
    """Whether so many snapshots have their new content, which carries what they do."""
    contents = {objects.name(c): c for c in await client.list(VOLUME_SNAPSHOT_CONTENT)}
    found = (await snapshots(client, namespace)).values()
    bound = [contents.get(s["status"]["boundVolumeSnapshotContentName"]) for s in found]
    same = [
        (objects.name(c), c["spec"]["deletionPolicy"], prefixed(c, P))
        == (f"{namespace}-{objects.name(s)}-rebound", "Retain", prefixed(s, P))
        for c, s in zip(bound, found, strict=True)
        if c is not None
    ]
    return sum(same) == count


async def test_a_name_that_is_taken_stops_the_page_before_anything_is_made(
    client: Client, namespace: str, tmp_path: Path, read: Callable[[], Rebinding]
) -> None:
    content = await make_orphan(client, namespace, "p1", 5)
    async with playing(client):
        page = read()
        await page.choose(content)
        await page.step("pair.tmpl")
        # hands: somebody makes a snapshot of that name
        source = {"source": {"persistentVolumeClaimName": "data"}}
        made = await client.create(
            VOLUME_SNAPSHOT, {"metadata": {"name": "p1", "namespace": namespace}, "spec": source}
        )
        said = await asyncio.to_thread(page.page.attempt, "kubectl wait -f pair.yaml")
        assert not said.ok
        assert "spec.source" in said.err
        assert await client.find(VOLUME_SNAPSHOT_CONTENT, content) is not None
        assert await client.find(VOLUME_SNAPSHOT_CONTENT, f"{content}-rebound") is None
        found = await client.get(VOLUME_SNAPSHOT, "p1", namespace)
        assert objects.labels(found) == objects.labels(made)

        # when the reader writes another name into both places, as the page says
        pair = tmp_path / "pair.yaml"
        content_body, snapshot_body = yaml.safe_load_all(pair.read_text(encoding="utf-8"))
        content_body["spec"]["volumeSnapshotRef"]["name"] = "p1-again"
        snapshot_body["metadata"]["name"] = "p1-again"
        pair.write_text(yaml.safe_dump_all([content_body, snapshot_body]), encoding="utf-8")
        await asyncio.to_thread(page.page.again)
    assert set(await snapshots(client, namespace)) == {"p1", "p1-again"}
    assert await client.find(VOLUME_SNAPSHOT_CONTENT, content) is None
    bound = await client.get(VOLUME_SNAPSHOT_CONTENT, f"{content}-rebound")
    assert bound["spec"]["volumeSnapshotRef"]["name"] == "p1-again"


async def test_a_page_that_was_left_half_way_is_gone_on_with(
    client: Client, namespace: str, read: Callable[[], Rebinding], rebind: Rebind
) -> None:
    content = await make_orphan(client, namespace, "p1", 5)
    page = read()
    await page.choose(content)
    await page.step("pair.tmpl")
    # given nobody binds: the reader gives up waiting, and the pair is there beside the old content
    waits = {"--timeout=5m": "--timeout=1s"}
    said = await asyncio.to_thread(page.page.attempt, "kubectl wait -f pair.yaml", waits)
    assert not said.ok
    assert await client.find(VOLUME_SNAPSHOT_CONTENT, content) is not None

    async with playing(client):
        listed = await read().choose(content)
        assert content in listed
        await rebind(content)

    assert await client.find(VOLUME_SNAPSHOT_CONTENT, content) is None
    assert content not in await read().choose(content)
    found = (await snapshots(client, namespace))["p1"]
    assert found["status"]["boundVolumeSnapshotContentName"] == f"{content}-rebound"


MARK = "2026-11-01T03:00:00+01:00"


@pytest.mark.parametrize(
    ("carried", "kept"),
    [
        # the mark of retention goes as a whole
        (({"delete-after": MARK[:10]}, {"marked-at": MARK}), ({}, {})),
        # a date by hand, or of birth, stays; also one that a person wrote over a mark
        (({"delete-after": "2999-01-01"}, {}), ({"delete-after": "2999-01-01"}, {})),
        (
            ({"delete-after": "2999-01-01"}, {"marked-at": MARK}),
            ({"delete-after": "2999-01-01"}, {"marked-at": MARK}),
        ),
        # a mark whose date was taken off: a person has saved the point, and the next pass holds it
        (({}, {"marked-at": MARK}), ({}, {"marked-at": MARK})),
        (
            ({"delete-after": ""}, {"marked-at": ""}),
            ({"delete-after": ""}, {"marked-at": ""}),
        ),
        (({"hold": "true"}, {"good-since": "2026-01-01T00:00:00Z"}), ({"hold": "true"}, {})),
        (({"hold": "yes"}, {"sweep": "uid-of-the-lost", "in-use": "uid"}), ({"hold": "yes"}, {})),
    ],
    ids=["mark", "date", "renewed", "saved", "malformed", "good-since", "sweep and in-use"],
)
async def test_what_was_to_delete_the_lost_one_is_not_carried_over(
    client: Client,
    namespace: str,
    rebind: Rebind,
    carried: tuple[dict[str, str], dict[str, str]],
    kept: tuple[dict[str, str], dict[str, str]],
) -> None:
    extra, notes = carried
    content = await make_orphan(client, namespace, "p1", 40, extra=extra, notes=notes)
    old = await client.get(VOLUME_SNAPSHOT_CONTENT, content)
    async with playing(client):
        await rebind(content)
    decided = ("delete-after", "hold", "marked-at", "good-since", "sweep", "in-use")
    bound = await client.get(VOLUME_SNAPSHOT_CONTENT, f"{content}-rebound")
    for made in ((await snapshots(client, namespace))["p1"], bound):
        written = {k.removeprefix(P): v for k, v in objects.annotations(made).items()}
        found = tuple(
            {k: v for k, v in pairs.items() if k in decided}
            for pairs in (prefixed(made, P), written)
        )
        assert found == kept
        assert written["record"] == objects.annotations(old)[labels.RECORD]


async def test_a_rebound_point_that_retention_had_marked_has_its_day_of_grace_again(
    client: Client, namespace: str, rebind: Rebind
) -> None:
    await make_policy(client, namespace, daily=1)
    marked = {"marked-at": f"{ago(5)[:19]}+00:00"}
    content = await make_orphan(
        client, namespace, "old", 9, extra={"delete-after": dated(5)}, notes=marked
    )
    async with playing(client):
        await rebind(content)
        newer = snapshot("newer", ago(0), bound=f"{namespace}-newer")
        await bind(client, await store(client, namespace, newer))
        await run_pass(client, namespace)
    found = await snapshots(client, namespace)
    assert set(found) == {"old", "newer"}
    carrier = await client.get(VOLUME_SNAPSHOT_CONTENT, f"{content}-rebound")
    assert labels.SWEEP not in objects.annotations(carrier)


async def test_a_hold_that_the_reader_adds_keeps_a_point_whose_date_is_past(
    client: Client, namespace: str, tmp_path: Path, read: Callable[[], Rebinding]
) -> None:
    await make_policy(client, namespace, daily=1)
    content = await make_orphan(client, namespace, "old", 9, extra={"delete-after": dated(5)})
    page = read()
    await page.choose(content)
    await page.step("pair.tmpl")
    pair = tmp_path / "pair.yaml"
    text = pair.read_text(encoding="utf-8")
    assert text.count("\n  labels:\n") == 2
    held = text.replace("\n  labels:\n", '\n  labels:\n    backstay.dev/hold: "true"\n')
    pair.write_text(held, encoding="utf-8")
    async with playing(client):
        await page.step("kubectl wait -f pair.yaml")
        newer = snapshot("newer", ago(0), bound=f"{namespace}-newer")
        await bind(client, await store(client, namespace, newer))
        await run_pass(client, namespace)
    found = await snapshots(client, namespace)
    assert set(found) == {"old", "newer"}
    assert prefixed(found["old"], P)["hold"] == "true"
