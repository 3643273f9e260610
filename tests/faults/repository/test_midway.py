"""Troubles that begin while a source is stored: each is named, and the next try is whole."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from hack.cluster.kit import s3
from hack.cluster.kit.s3_client import Client
from tests.faults.repository.between import Between, Refusal, refusal
from tests.faults.repository.harness import PASSWORD, Depot, Outcome, finished
from tests.faults.repository.storing import backup, busy, records, refused, stored, task, whole
from tests.support.cheap_restic import cheap_repository, lay_out
from tests.support.s3_server import Server

from backstay.engine.system_clock import SystemClock

IN_THE_UPLOAD = ("PUT .*/data/", 0)
BEFORE_THE_RECORD = ("PUT .*/locks/", 1)
WITHIN = 60.0


def ended_when(depot: Depot, met: threading.Event) -> Outcome:
    """Store, and end the Job when something has happened, as Kubernetes does at its deadline."""
    process = depot.start("repository-backup", depot.task(**task(depot)))
    assert met.wait(WITHIN)
    # restic is at it, and has said so.
    errors = process.stderr
    assert errors is not None
    said = errors.readline()
    assert "retrying" in said
    process.send_signal(signal.SIGTERM)
    return finished(process)


@pytest.mark.parametrize("when", [IN_THE_UPLOAD, BEFORE_THE_RECORD])
def test_a_server_that_comes_back_costs_time_only(
    watched_by: Depot, between: Between, server: Server, when: tuple[str, int]
) -> None:
    asked = []

    def stop_and_start() -> None:
        asked.append(1)
        if len(asked) == 1:
            server.stop()
        if len(asked) == 3:
            server.start()

    between.at(when[0], stop_and_start, skip=when[1])

    result = stored(watched_by)

    assert len(asked) >= 3
    whole(watched_by, result["data"])


@pytest.mark.parametrize("when", [IN_THE_UPLOAD, BEFORE_THE_RECORD])
def test_a_server_that_stays_away_is_named_when_the_job_ends(
    watched_by: Depot, between: Between, server: Server, when: tuple[str, int]
) -> None:
    down = threading.Event()

    def stop() -> None:
        server.stop()
        down.set()

    between.at(when[0], stop, skip=when[1], times=1)
    message = busy(ended_when(watched_by, down), "Interrupted")
    assert "retrying" in message

    server.start()
    whole(watched_by, stored(watched_by)["data"])


DENIED = refusal(403, "AccessDenied", "Access Denied.")
NO_ROOM = "Storage backend has reached its minimum free drive threshold."
REFUSALS = {
    "may not write": ("PUT .*/data/", DENIED, 3, "AccessDenied"),
    "may not lock": ("PUT .*/locks/", DENIED, 3, "AccessDenied"),
    "may not record": ("PUT .*/snapshots/", DENIED, 3, "AccessDenied"),
    "disks full": ("PUT .*/data/", refusal(507, "XMinioStorageFull", NO_ROOM), 75, "Full"),
    "quota": ("PUT .*/data/", refusal(403, "QuotaExceeded", "Bucket quota exceeded"), 75, "Full"),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_what_the_server_refuses_meanwhile_is_named_in_seconds(
    watched_by: Depot, between: Between, what: str
) -> None:
    wanted, answer, code, reason = REFUSALS[what]
    between.at(wanted, lambda: answer)

    outcome = backup(watched_by)

    assert (outcome.code, outcome.reason) == (code, reason), outcome
    assert records(watched_by) == []
    between.rules.clear()
    whole(watched_by, stored(watched_by)["data"])


def test_a_server_that_finds_the_clock_wrong_meanwhile_is_understood(
    watched_by: Depot, between: Between, admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given what the server itself says to a request of 40 minutes ago
    ago = SystemClock().now() - timedelta(minutes=40)
    past = SimpleNamespace(strftime=time.strftime, gmtime=ago.timetuple)
    with monkeypatch.context() as patch:
        patch.setattr(f"{Client.__module__}.time", past)
        said = admin.send("GET", f"/{s3.BUCKET}")
    answer = Refusal(said.status, said.body)
    assert answer.status == 403
    between.at("PUT .*/data/", lambda: answer)

    assert "clock" in busy(backup(watched_by), "ClockSkewed")


def test_who_may_not_read_has_an_answer_from_each_command(
    watched_by: Depot, between: Between
) -> None:
    stored(watched_by)
    shutil.rmtree(watched_by.folder / "cache")
    between.at("GET .*/snapshots/.", lambda: refusal(403, "AccessDenied", "Access Denied."))

    for verb in ("repository-open", "repository-list"):
        refused(watched_by.agent(verb), "AccessDenied")
    # What it cannot read it must not take for missing, and store once more.
    refused(backup(watched_by), "AccessDenied")


def test_a_lock_that_may_not_be_removed_does_not_undo_what_is_stored(
    watched_by: Depot, between: Between
) -> None:
    between.at("DELETE .*/locks/", lambda: refusal(403, "AccessDenied", "Access Denied."))

    result = stored(watched_by)

    listed = watched_by.agent("repository-list")
    assert len(listed.result["locks"]) == 2
    whole(watched_by, result["data"])


def test_a_bucket_that_goes_meanwhile_is_named_and_not_made_again(
    watched_by: Depot, between: Between, server: Server, admin: Client
) -> None:
    bucket = "backstay-mortal"
    assert admin.send("PUT", f"/{bucket}").status == 200
    known, files = cheap_repository(watched_by.restic / "restic", PASSWORD)
    for path, content in files.items():
        assert admin.send("PUT", f"/{bucket}/{path}", body=content).status == 200
    key = between.access.keys[s3.ADMIN]
    watched_by.give(
        RESTIC_REPOSITORY=f"s3:{between.endpoint}/{bucket}",
        AWS_ACCESS_KEY_ID=key.id,
        AWS_SECRET_ACCESS_KEY=key.secret,
    )
    depot = replace(watched_by, suffix="", id=known)
    folder = server.layout.s3 / "data" / bucket
    # While nothing else is asked for, which could make the folder again.
    between.at("PUT .*/locks/", lambda: shutil.rmtree(folder), times=1)

    refused(backup(depot), "BucketMissing")
    assert not folder.exists()
    # Later it is known that there was one.
    refused(backup(depot), "Vanished")
    refused(depot.agent("repository-open", initialise=True), "Vanished")
    assert not folder.exists()


def test_a_repository_that_goes_meanwhile_has_vanished_and_is_not_made_again(
    watched_by: Depot, between: Between, admin: Client
) -> None:
    config = f"/{s3.BUCKET}/{watched_by.suffix}/config"

    def empty() -> None:
        assert admin.send("DELETE", config).status < 300

    between.at("DELETE .*/locks/", empty, times=1)

    assert watched_by.id[:8] in refused(backup(watched_by), "Vanished")
    assert admin.send("GET", config).status == 404


def test_data_that_somebody_forgets_before_its_record_is_no_point(
    watched_by: Depot, between: Between
) -> None:
    def forget() -> None:
        (data,) = watched_by.snapshots()
        watched_by.run("forget", data["id"])

    between.at("PUT .*/locks/", forget, skip=1, times=1)

    outcome = backup(watched_by)

    assert (outcome.code, outcome.reason) == (1, "Failed"), outcome
    assert "is not there" in outcome.result["message"]
    again = stored(watched_by)
    assert [one["id"] for one in watched_by.snapshots() if "backstay" in one["tags"]] == [
        again["data"]
    ]
    assert backup(watched_by).result["record"] == again["record"]


@contextmanager
def small(folder: Path, size: str) -> Iterator[Callable[[str], None]]:
    """Given a folder and a size, have it be a disk of that size; yield what changes that."""

    def mount(*words: str) -> None:
        subprocess.run(["mount", "-t", "tmpfs", *words, "none", folder], check=True)

    folder.mkdir(exist_ok=True)
    mount("-o", f"size={size}")
    try:
        yield lambda more: mount("-o", f"remount,size={more}")
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def grow(depot: Depot) -> None:
    (depot.source / "random").write_bytes(os.urandom(4 << 20))


def test_a_cache_that_is_full_is_distinguished_from_a_full_repository(made: Depot) -> None:
    grow(made)
    with small(made.folder / "cache", "1m") as resize:
        assert "cache" in busy(backup(made), "CacheFull")
        assert records(made) == []

        resize("64m")
        whole(made, stored(made)["data"])


def test_a_claim_that_is_full_is_named_and_takes_the_point_when_it_has_grown(
    made: Depot, tmp_path: Path
) -> None:
    grow(made)
    known, files = cheap_repository(made.restic / "restic", PASSWORD)
    with small(tmp_path / "claim", "2m") as resize:
        local = replace(made, local=str(tmp_path / "claim/r"), suffix="", id=known)
        lay_out(files, Path(local.local))
        busy(backup(local), "Full")
        assert records(local) == []

        resize("64m")
        whole(local, stored(local)["data"])
