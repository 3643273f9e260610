"""Maintenance of repositories beside movers, locks and users without rights; its commands."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hack.cluster.kit import s3
from tests.support.kept_points import KeptPoints
from tests.support.node import restic_folder
from tests.support.repositories import NAME, PASSWORD
from tests.support.rolling_world import World
from tests.support.s3_server import Server
from tests.support.uploads import is_upload, point

from backstay.api.repository_status import ID_MAX
from backstay.cli import main
from backstay.domain import labels, naming, objects
from backstay.domain.objects import Obj, dig
from backstay.domain.stores.repository.use import has_ended
from backstay.kube.resources import BACKUP, JOB
from backstay.reconcile import keys

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def kept(world: World) -> KeptPoints:
    return KeptPoints(world)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("s3") / "cluster")
    yield found
    found.stop()


async def at_work(kept: KeptPoints) -> list[str]:
    """What the unfinished Jobs of the namespace are: Maintain, or upload."""
    found = [j for j in await kept.world.client.list(JOB, kept.namespace) if not has_ended(j)]
    return sorted(
        "upload" if is_upload(j) else objects.labels(j)[labels.REPOSITORY_TASK] for j in found
    )


async def look(kept: KeptPoints, *names: str, times: int = 4) -> Obj:
    """Let the operator look a few times at the repository and at Backups; the node does nothing."""
    for _ in range(times):
        kept.world.add(kept.repositories.key)
        for name in names:
            kept.world.add(keys.backup(kept.namespace, name))
        await kept.world.step()
    return await kept.repositories.get()


async def test_maintenance_and_movers_never_work_at_the_same_time(kept: KeptPoints) -> None:
    await kept.begin()
    other = await kept.world.storage.claim(kept.namespace, "web")
    (other / "a").write_text("other")
    await kept.policy("web", **_of_web())
    await kept.world.create(BACKUP, "one", {"policy": "offsite"})
    await look(kept, "one")
    assert await at_work(kept) == ["upload"]

    await kept.annotate_only(prune="now")
    waiting = await look(kept, "one")
    assert waiting["status"]["work"] == "Maintain"
    await kept.world.create(BACKUP, "two", {"policy": "web"})
    await look(kept, "one", "two")
    # The intent is there: the one that runs goes on, and no other one begins.
    assert await at_work(kept) == ["upload"]
    said = str(await kept.backup("two"))
    assert f"maintenance of BackupRepository {NAME} is under way" in said

    await kept.world.node.run()
    await look(kept, "one", "two")
    assert await at_work(kept) == ["Maintain"]
    assert dig(await kept.backup("one"), "status", "phase") == "Completed"

    await kept.world.node.run()
    await look(kept, "two")
    assert await at_work(kept) == ["upload"]
    await kept.world.settle(keys.backup(kept.namespace, "two"))
    assert dig(await kept.backup("two"), "status", "phase") == "Completed"
    assert (await kept.says("Maintained"))[0] == "True"


def _of_web() -> Obj:
    """A policy of the other claim."""
    return {
        "source": {"claims": {"names": ["web"]}},
        "snapshot": None,
        "repository": {"name": NAME, "copyMethod": "Direct"},
    }


def leave_lock(kept: KeptPoints, host: str) -> None:
    """Leave the lock of a restic that was killed on a host of that name."""
    restic = f"{restic_folder()}/restic"
    before = locks(kept)
    process = subprocess.Popen(
        [
            *("unshare", "--user", "--map-root-user", "--uts", "sh", "-c"),
            f"hostname {host} && exec {restic} --no-cache backup --stdin --stdin-filename x",
        ],
        env=_environment(kept),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    with process:
        while locks(kept) == before:
            assert process.poll() is None
        process.kill()


def locks(kept: KeptPoints) -> set[str]:
    folder = kept.repositories.folder / "locks"
    # What restic was writing when it was killed is no lock.
    return {p.name for p in folder.iterdir() if len(p.name) == ID_MAX} if folder.is_dir() else set()


def _environment(kept: KeptPoints) -> dict[str, str]:
    place = str(kept.repositories.folder)
    return {"RESTIC_REPOSITORY": place, "RESTIC_PASSWORD": PASSWORD, "PATH": "/usr/bin:/bin"}


async def test_locks_of_our_dead_pods_go_by_themselves_and_those_of_others_by_a_command(
    kept: KeptPoints, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await kept.begin()
    uid = objects.uid(await kept.repositories.get())
    leave_lock(kept, naming.mover_host(uid, "one-upload-0123456789"))
    assert len(locks(kept)) == 1

    await kept.repositories.age()
    await kept.rest()

    assert locks(kept) == set()
    assert "1 locks removed" in (await kept.says("Maintained"))[2]

    leave_lock(kept, naming.mover_host(uid, "two-upload-0123456789"))
    leave_lock(kept, "another-tool-x7k2p")
    await kept.repositories.age()
    await kept.rest()

    assert len(locks(kept)) == 2
    obj = await kept.repositories.get()
    assert "another-tool-x7k2p" in {lock["host"] for lock in obj["status"]["locks"]}

    code = await command(kept, kubeconfig, "unlock")

    assert (code, locks(kept)) == (0, set())
    assert "2 locks removed" in capsys.readouterr().out


async def test_commands_check_prune_and_show_a_repository(
    kept: KeptPoints, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await kept.begin()
    first = point(await kept.taken("first"))
    await kept.restic("backup", "--host", "volsync", str(kept.data))

    assert await command(kept, kubeconfig, "check") == 0
    assert "part 1 of 14 of its data" in capsys.readouterr().out
    assert await command(kept, kubeconfig, "prune") == 0
    assert "pruned" in capsys.readouterr().out
    assert await command(kept, kubeconfig, "snapshots") == 0
    shown = capsys.readouterr().out
    assert first["ref"] in shown
    assert "volsync" in shown
    assert "1 points, 1 snapshots of others" in shown

    packs = [p for p in (kept.repositories.folder / "data").rglob("*") if p.is_file()]
    for pack in packs:
        pack.unlink()
    assert await command(kept, kubeconfig, "check") == 1
    assert "Damaged" in capsys.readouterr().err
    # What is left may be the last of its kind: nothing is removed any more.
    assert (await kept.says("Checked"))[:2] == ("False", "Damaged")


async def command(kept: KeptPoints, kubeconfig: Path, what: str) -> int:
    """Run a command on the repository, with the operator at work beside it."""
    words = ["repository", what, NAME, "-n", kept.namespace, "--kubeconfig", str(kubeconfig)]
    running = asyncio.create_task(asyncio.to_thread(main, words))
    while not running.done():
        with contextlib.suppress(AssertionError):
            await kept.rest()
        await asyncio.sleep(0.2)
    return await running


async def test_where_deleting_is_refused_nothing_is_lost_and_retention_says_what_it_needs(
    server: Server, kept: KeptPoints
) -> None:
    access = server.start()
    place = f"s3:{access.endpoint}/{s3.BUCKET}/{kept.namespace}"
    await kept.keys_of(access, place, s3.ADMIN, "admin")
    # As who does not know that the Secret may only add.
    await kept.in_s3(access, place, s3.APPENDER)
    await kept.policy_of_repository()
    await kept.taken("first")
    await kept.days(1)
    await kept.taken("second")
    await kept.days(3)

    assert (await kept.says("Maintained"))[:2] == ("False", "ReadOnly")
    assert "maintenanceSecretRef" in (await kept.says("Maintained"))[2]
    assert (await kept.policy_says("RetentionHeld"))[:2] == ("True", "ReadOnly")
    assert await kept.backups() == ["first", "second"]
    for name in ("first", "second"):
        assert "gone" not in point(await kept.backup(name))

    # Where it is known, nothing is tried.
    await kept.repositories.change(access="AppendOnly")
    await kept.days(2)
    assert (await kept.policy_says("RetentionHeld"))[:2] == ("True", "AppendOnly")
    third = await kept.taken("third")
    assert third["status"]["phase"] == "Completed"
    assert await kept.backups() == ["first", "second", "third"]

    await kept.repositories.change(maintenanceSecretRef={"name": "admin"})
    await kept.days(4)
    assert await kept.backups() == ["third"]
    assert (await kept.says("Maintained"))[:2] == ("True", "Maintained")
    assert (await kept.policy_says("RetentionHeld"))[0] == "False"
