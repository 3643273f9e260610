"""The main job: a slot runs on time, its dump is whole in the snapshot, its labels are right."""

from __future__ import annotations

import json
from datetime import datetime

from tests.e2e.disks import Disks
from tests.e2e.kube import Obj
from tests.e2e.shop import CHECKSUM, IMAGE, PREFIX, Shop, ours


def test_slots_run_on_time_and_every_artifact_is_right(shop: Shop, disks: Disks) -> None:
    """One story of two slots of one day: the first keeps the day, the second does not; the
    second runs with a class that says Delete and is kept all the same."""
    source = shop.sql(CHECKSUM)
    shop.policy(schedule={"cron": "* * * * *", "timeZone": "Europe/Vienna"})
    assert shop.ready()["status"] == "True", shop.ready()

    first = _scheduled(shop, 1)[0]
    shop.policy(
        schedule={"cron": "* * * * *", "timeZone": "Europe/Vienna"},
        snapshot={"className": "btrfs-delete"},
    )
    second = _scheduled(shop, 2)[1]
    shop.policy(suspend=True, schedule={"cron": "* * * * *", "timeZone": "Europe/Vienna"})

    for run in (first, second):
        _is_on_time(run)
    _is_good_and_kept(shop, disks, first)
    _is_good_and_kept(shop, disks, second)

    (of_first,), (of_second,) = (shop.snapshots_of(_name(run)) for run in (first, second))
    taken = ours(of_first)
    assert {"daily", "weekly", "monthly"} <= taken.keys()
    assert taken["daily"][:7] == taken["monthly"]
    assert not {"daily", "weekly", "monthly"} & ours(of_second).keys()
    assert of_second["spec"]["volumeSnapshotClassName"] == "btrfs-delete"

    _dump_inside_equals_the_source(shop, _name(first), source)


def _scheduled(shop: Shop, count: int) -> list[Obj]:
    """Wait until so many scheduled runs are Completed; return them, oldest first."""

    def check() -> list[Obj]:
        runs = [
            b
            for b in shop.kubectl.list("backups.backstay.dev")
            if b["spec"]["trigger"] == "Scheduled"
        ]
        done = [b for b in runs if b.get("status", {}).get("phase") == "Completed"]
        failed = [b for b in runs if b.get("status", {}).get("phase") == "Failed"]
        assert not failed, failed[0]["status"]["message"]
        return done if len(done) >= count else []

    runs = shop.kubectl.until(f"{count} scheduled runs to be Completed", check, 60 * count + 60)
    return sorted(runs, key=_name)


def _name(obj: Obj) -> str:
    return str(obj["metadata"]["name"])


def _is_on_time(run: Obj) -> None:
    slot = datetime.fromisoformat(run["spec"]["scheduledFor"])
    started = datetime.fromisoformat(run["metadata"]["creationTimestamp"])
    assert 0 <= (started - slot).total_seconds() < 15
    assert slot.second == 0
    stamp = slot.astimezone().strftime("%M")
    assert _name(run).endswith(stamp), "the name ends with the minute of the slot"


def _is_good_and_kept(shop: Shop, disks: Disks, run: Obj) -> None:
    (snapshot,) = shop.snapshots_of(_name(run))
    content = shop.content(snapshot)
    labels = ours(snapshot)
    assert labels["result"] == "good"
    assert labels["type"] == "cronjob"
    assert labels["retain"] == "daily_weekly_monthly"
    assert (labels["policy"], labels["pvc"]) == ("shop", "data-pg-0")

    assert content["spec"]["deletionPolicy"] == "Retain"
    assert disks.has(content)
    mirrored = ours(content)
    for key in ("pvc", "policy", "backup", "type", "result", "retain"):
        assert mirrored[key] == labels[key]
    (dump,) = run["status"]["dumps"]
    for carrier in (snapshot, content):
        record = json.loads(carrier["metadata"]["annotations"][PREFIX + "record"])
        assert record["backup"] == _name(run)
        for key in ("sha256", "format", "compression"):
            assert record["dumps"][0][key] == dump[key]
        assert record["claim"]["name"] == "data-pg-0"


def _dump_inside_equals_the_source(shop: Shop, backup: str, source: str) -> None:
    """Restore into a fresh claim, read the archive there, and load it into a fresh database."""
    request = shop.restore({"backup": backup}, "fresh")
    done = shop.restored(request)
    assert "sha256 as recorded" in done["status"]["message"]
    shop.kubectl.apply(_reader(shop.name, "fresh"))
    shop.kubectl.run("wait", "pod/reader", "--for=condition=Ready", "--timeout=60s")
    archive = "/restored/backstay/shop.dump"
    listing = shop.kubectl.exec("reader", "pg_restore", "-l", archive)
    assert "TABLE DATA public orders" in listing
    shop.kubectl.exec(
        "reader",
        *("pg_restore", "--exit-on-error", "-U", "postgres", "-d", "shop", archive),
    )
    assert shop.sql(CHECKSUM, pod="reader") == source


def _reader(namespace: str, claim: str) -> Obj:
    """A second, empty PostgreSQL with the restored claim mounted read-only beside its data."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "reader", "namespace": namespace},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": "postgres",
                    "image": IMAGE,
                    "imagePullPolicy": "IfNotPresent",
                    "env": [
                        {"name": "POSTGRES_DB", "value": "shop"},
                        {"name": "PGDATA", "value": "/tmp/pgdata"},
                    ],
                    "readinessProbe": {
                        "exec": {"command": ["pg_isready", "-U", "postgres", "-d", "shop"]},
                        "periodSeconds": 1,
                    },
                    "volumeMounts": [
                        {"name": "restored", "mountPath": "/restored", "readOnly": True}
                    ],
                }
            ],
            "volumes": [{"name": "restored", "persistentVolumeClaim": {"claimName": claim}}],
        },
    }
