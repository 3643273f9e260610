"""Retention on 10,000 snapshots: what a pass costs that changes nothing, and one that changes all.

Etcd and kube-apiserver on this machine; 200 namespaces with one policy each; per point a
VolumeSnapshot, its content and its Backup, written with their status and no snapshot controller.
The operator's part runs in a process of its own (tests/bench/operator_part.py). Before it, a bare
writer (aiohttp, 32 connections) makes exactly the writes that the plan says, which are then undone.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.bench import many
from tests.bench.figure import Figure
from tests.bench.many import Write
from tests.support.apiserver import ETCD_URL, running_api_server

from backstay.builders.snapshot import metadata_patch
from backstay.domain import objects, upkeep
from backstay.domain.merge_patch import merge_diff
from backstay.domain.objects import Obj
from backstay.domain.stores.snapshots import upkeep as snapshots
from backstay.domain.stores.snapshots.content import Patch
from backstay.domain.stores.snapshots.plan import SnapshotPlan
from backstay.domain.stores.snapshots.seen import seen_of
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import PAGE, Client
from backstay.kube.login import login
from backstay.kube.resources import BACKUP, VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT, Resource
from backstay.reconcile import passes
from backstay.reconcile.gathering import gather_all
from backstay.reconcile.world import World

NAMESPACES: Final = int(os.environ.get("BENCH_NAMESPACES", "200"))
EACH: Final = 50
LOOKS: Final = 5


def measure() -> list[Figure]:
    """Return the figures of a pass that changes nothing and of one that changes everything."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        running_api_server(Path(folder)) as kubeconfig,
    ):
        bare = asyncio.run(_prepare(kubeconfig))
        command = [sys.executable, "-m", "tests.bench.operator_part", str(kubeconfig)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as part:
            changing = _ask(part, "pass")
            looks = [_ask(part, "look") for _ in range(LOOKS)]
            assert part.stdin is not None
            part.stdin.close()
    return _figures(bare, changing, looks)


async def _prepare(kubeconfig: Path) -> float:
    """Make the world; return how long the bare writer takes to change it, undone again."""
    access = await login(kubeconfig)
    began = time.monotonic()
    etcd = (kubeconfig.parent / ETCD_URL).read_text()
    await many.build(access, etcd, NAMESPACES, EACH)
    _say(f"{NAMESPACES * EACH} points made in {time.monotonic() - began:.0f} s")
    async with Client(access, SystemClock()) as client:
        writes = list(_writes(await gather_all(client)))
    began, cpu = time.monotonic(), time.process_time()
    await many.send(access, (do for do, _ in writes))
    seconds = time.monotonic() - began
    cpu = time.process_time() - cpu
    _say(f"bare writer: {len(writes)} writes in {seconds:.1f} s, {cpu:.1f} s of CPU")
    await many.send(access, (undo for _, undo in writes))
    return seconds


def _writes(world: World) -> Iterator[tuple[Write, Write]]:
    """Yield the writes that the plans of all policies say, each with what undoes it."""
    now = SystemClock().now()
    for place in world.places():
        seen = passes.seen(world, place, now)
        plan = upkeep.plan(seen, [SnapshotPlan()])
        for item in snapshots.look(seen_of(seen)).items:
            if item.snapshot is not None:
                yield _both(VOLUME_SNAPSHOT, item.snapshot)
            if item.content is not None:
                yield _both(VOLUME_SNAPSHOT_CONTENT, item.content)
        for run, status in plan.shown:
            before, after = run.status.dump(), status.dump()
            do: Obj = {"metadata": {"resourceVersion": objects.version(run.obj)}}
            do["status"] = merge_diff(before, after)
            undo = {"status": merge_diff(after, before)}
            yield (
                many.patch(BACKUP, run.obj, do, "status"),
                many.patch(BACKUP, run.obj, undo, "status"),
            )


def _both(resource: Resource, patch: Patch) -> tuple[Write, Write]:
    do = metadata_patch(
        patch.obj, labels=patch.labels, annotations=patch.annotations, spec=patch.spec
    )
    undo: Obj = {
        "metadata": {
            "labels": dict.fromkeys(patch.labels),
            "annotations": dict.fromkeys(patch.annotations),
        }
    }
    if patch.spec:
        undo["spec"] = {"deletionPolicy": "Delete"}
    return many.patch(resource, patch.obj, do), many.patch(resource, patch.obj, undo)


def _ask(part: subprocess.Popen[str], word: str) -> dict[str, Any]:
    assert part.stdin is not None
    assert part.stdout is not None
    part.stdin.write(f"{word}\n")
    part.stdin.flush()
    answer: dict[str, Any] = json.loads(part.stdout.readline())
    _say(f"{word}: {answer}")
    return answer


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _figures(bare: float, changing: dict[str, Any], looks: list[dict[str, Any]]) -> list[Figure]:
    points = NAMESPACES * EACH
    world = f"{points} snapshots, contents and Backups in {NAMESPACES} namespaces"
    quiet = f"one resync after the other, {LOOKS} times, nothing to do; {world}"
    pages = max(_lists(look) for look in looks)
    expected = 2 + 3 * -(-points // PAGE)
    other = max(sum(look["requests"].values()) - _lists(look) for look in looks)
    seconds = statistics.median(look["seconds"] for look in looks)
    ratio = changing["seconds"] / bare
    everyone = [changing, *looks]
    resident = max(one["resident"] for one in everyone) / 2**20
    lag = 1000 * max(one["lag"] for one in everyone)
    own = 1000 * max(one["lag_cpu"] for one in everyone)
    own_how = "the longest CPU time of the loop's thread between two turns of the loop"
    return [
        Figure("unchanged: pages read", pages, "", f"= {expected}", pages == expected, quiet),
        Figure("unchanged: other requests", other, "", "= 0", other == 0, quiet),
        Figure("unchanged: a pass", seconds, "s", "< 2", seconds < 2, f"median of {quiet}"),
        Figure(
            "all changed: to a bare writer",
            ratio,
            "x",
            "<= 1.5",
            ratio <= 1.5,
            f"resync and passes that label every snapshot, mirror it onto its content and show it "
            f"on its Backup, to aiohttp with 32 connections making the same writes; {world}",
        ),
        Figure("resident set", resident, "MiB", "< 300", resident < 300, f"VmHWM; {world}"),
        Figure("longest block of the loop", own, "ms", "< 100", own < 100, own_how),
        Figure("longest lag of a tick", lag, "ms", "< 100", lag < 100, "5 ms ticks, by the wall"),
    ]


def _lists(look: dict[str, Any]) -> int:
    found = look["requests"].items()
    return sum(count for what, count in found if what.startswith("list "))
