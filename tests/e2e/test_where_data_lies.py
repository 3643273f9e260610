"""Data that lies elsewhere than it seems: pg_wal on a second claim, a dump behind a link."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from tests.e2e.kube import Kube, Obj
from tests.e2e.shop import CLAIM, DUMP, IMAGE, Shop, policy, postgres

from backstay.domain.times import parse_time
from backstay.engine.system_clock import SystemClock

WAL = "wal-pg-0"
BOTH = {"claims": {"names": [CLAIM, WAL]}}
INITIALISE = (
    'initdb --pgdata="$PGDATA" --waldir=/wal/pg_wal --username=postgres --auth=trust && sync'
)
FREEZE = """
for pass in 1 2 3; do
    for process in /proc/[0-9]*; do
        [ "$(cat "$process/comm" 2>/dev/null)" != postgres ] || kill -s "$0" "${process#/proc/}"
    done
done
"""
TARGET = {"kind": "StatefulSet", "name": "pg", "container": "postgres"}
FROZEN = {
    "maxFreeze": "120s",
    "before": [
        {
            "name": "stop",
            "target": TARGET,
            "command": ["sh", "-c", FREEZE, "STOP"],
            "freezes": True,
        }
    ],
    "after": [{"name": "stop", "command": ["sh", "-c", FREEZE, "CONT"]}],
}


@pytest.fixture(scope="module")
def split(kubectl: Kube) -> Iterator[Shop]:
    """A PostgreSQL whose pg_wal lies on a claim of its own."""
    with Shop(kubectl.within(f"e2e-{secrets.token_hex(4)}")) as found:
        found.kubectl.apply(two_claims(found.name))
        found.kubectl.run("rollout", "status", "statefulset/pg", "--timeout", "110s")
        found.sql("create table t as select g i, 'before' pad from generate_series(1, 1000) g")
        found.sql("checkpoint")
        yield found


def two_claims(namespace: str) -> Obj:
    """The database of the other tests, with pg_wal on a second claim."""
    whole = postgres(namespace)
    spec = whole["spec"]["template"]["spec"]
    container = spec["containers"][0]
    container["volumeMounts"].append({"name": "wal", "mountPath": "/wal"})
    container["env"] = [{"name": "PGDATA", "value": "/var/lib/postgresql/data/pgdata"}]
    container["readinessProbe"]["exec"]["command"] = ["pg_isready", "-U", "postgres"]
    create = "psql -U postgres -Xtc \"select 1 from pg_database where datname = 'shop'\""
    container["lifecycle"] = {
        "postStart": {
            "exec": {
                "command": [
                    *("sh", "-c"),
                    "until pg_isready -q -U postgres; do sleep 0.2; done; "
                    f"{create} | grep -q 1 || createdb -U postgres shop",
                ]
            }
        }
    }
    initial = {key: container[key] for key in ("image", "imagePullPolicy", "env", "volumeMounts")}
    spec["initContainers"] = [
        {
            "name": "init",
            "command": ["sh", "-c", f'[ -s "$PGDATA/PG_VERSION" ] || {{ {INITIALISE}; }}'],
        }
        | initial
    ]
    # Or the postmaster is process 1, which cannot be stopped from inside.
    spec["shareProcessNamespace"] = True
    claim = whole["spec"]["volumeClaimTemplates"][0]
    whole["spec"]["volumeClaimTemplates"].append({**claim, "metadata": {"name": "wal"}})
    return whole


def failed(shop: Shop, name: str) -> str:
    """Run a policy that must fail, and leave nothing that is called good; return why."""
    backup = shop.backup(policy=name)
    why: str = shop.finished(backup, "Failed")["status"]["message"]
    assert all(
        s["metadata"]["labels"]["backstay.dev/result"] != "good" for s in shop.snapshots_of(backup)
    )
    return why


def test_two_claims_of_one_database_are_refused_at_once(split: Shop) -> None:
    split.policy("both", source=BOTH, dumps=None)
    ready = split.ready("both")
    assert (ready["status"], ready["reason"]) == ("False", "ClaimsNotTogether")
    assert f"{CLAIM}, {WAL}" in ready["message"]
    assert "freezes: true" in failed(split, "both")


def test_the_database_is_asked_by_its_dump(split: Shop) -> None:
    split.policy("part")
    assert f"pg_wal (/var/lib/postgresql/data/pgdata/pg_wal) lies on claim {WAL}" in failed(
        split, "part"
    )
    split.policy("both-dumped", source=BOTH)
    why = failed(split, "both-dumped")
    assert f"on several claims (data_directory on {CLAIM}, pg_wal on {WAL})" in why


def test_one_claim_of_two_is_no_backup_also_without_a_dump(split: Shop) -> None:
    split.policy("alone", dumps=None)
    why = failed(split, "alone")
    assert f"pg_wal (/var/lib/postgresql/data/pgdata/pg_wal) lies on claim {WAL}" in why


def test_one_claim_of_two_counts_where_a_person_says_so(split: Shop) -> None:
    snapshot = {"className": "btrfs-retain", "consistency": "PerClaim"}
    split.policy("dump-alone", snapshot=snapshot)
    done = split.finished(split.backup(policy="dump-alone"))
    (dump,) = done["status"]["dumps"]
    system = split.sql("select system_identifier from pg_control_system()")
    assert (dump["path"], dump["server"]) == ("backstay/shop.dump", system)


def test_two_claims_frozen_together_are_right_to_the_row(split: Shop) -> None:
    """The second snapshot is held back by a quota while a transaction wants in between."""
    rows = int(split.sql("select count(*) from t"))
    split.policy("frozen", source=BOTH, dumps=None, hooks=FROZEN)
    assert split.ready("frozen")["status"] == "True"
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "held", "namespace": split.name},
        "spec": {"hard": {"count/volumesnapshots.snapshot.storage.k8s.io": held(split) + 1}},
    }
    split.kubectl.apply(quota)
    backup = split.backup(policy="frozen")
    (first,) = split.kubectl.until(
        "the first snapshot",
        lambda: [s for s in split.snapshots_of(backup) if s.get("status", {}).get("readyToUse")],
        40,
    )
    # Snapshots are dated in whole seconds: two of the same second would be 0 s apart.
    later = parse_time(first["status"]["creationTime"]) + timedelta(seconds=1)
    split.kubectl.until(
        "the second after the first snapshot's", lambda: SystemClock().now() >= later, 5
    )
    between = threading.Thread(
        target=split.sql,
        args=("insert into t select g, repeat('x', 200) from generate_series(1, 20000) g",),
    )
    between.start()
    split.kubectl.run("delete", "resourcequota", "held")
    done = split.finished(backup)
    between.join(60)
    assert not between.is_alive()
    assert [p["result"] for p in done["status"]["points"]] == ["good", "good"]
    assert done["status"]["plan"]["together"] == [{"claims": [CLAIM, WAL]}]
    assert done["status"]["spread"]
    assert int(split.sql("select count(*) from t")) == rows + 20000
    copy = started(split, backup)
    assert int(split.sql("select count(*) from t", copy)) == rows
    for n in range(5):
        split.sql(f"create table z{n} as select 1", copy)
    assert int(split.sql("select count(*) from t", copy)) == rows


def held(shop: Shop) -> int:
    return len(shop.snapshots())


def started(shop: Shop, backup: str) -> str:
    """Restore both claims of a run, and start a server on them; return its pod."""
    new = {CLAIM: "data-new", WAL: "wal-new"}
    shop.kubectl.create(
        {
            "apiVersion": "backstay.dev/v1alpha1",
            "kind": "RestoreRequest",
            "metadata": {"name": "two", "namespace": shop.name},
            "spec": {
                "from": {"backup": backup},
                "claims": [{"claim": c, "to": {"newClaim": {"name": n}}} for c, n in new.items()],
            },
        }
    )
    shop.restored("two")
    mounts = [
        {"name": "data", "mountPath": "/var/lib/postgresql/data"},
        {"name": "wal", "mountPath": "/wal"},
    ]
    shop.kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "copy", "namespace": shop.name},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [
                    {
                        "name": "postgres",
                        "image": IMAGE,
                        "imagePullPolicy": "IfNotPresent",
                        "readinessProbe": {"exec": {"command": ["pg_isready", "-U", "postgres"]}},
                        "volumeMounts": mounts,
                    }
                ],
                "volumes": [
                    {"name": "data", "persistentVolumeClaim": {"claimName": "data-new"}},
                    {"name": "wal", "persistentVolumeClaim": {"claimName": "wal-new"}},
                ],
            },
        }
    )
    shop.kubectl.run("wait", "pod/copy", "--for=condition=Ready", "--timeout=60s")
    return "copy"


def test_a_dump_behind_a_link_off_its_claim_is_no_dump(shop: Shop) -> None:
    shop.kubectl.exec(
        *("pg-0", "ln", "-s", "/tmp", "/var/lib/postgresql/data/away"), container="postgres"
    )
    away = policy(shop.name)["spec"]["dumps"][0] | {"file": DUMP.replace("backstay", "away")}
    shop.policy("away", dumps=[away])
    why = failed(shop, "away")
    assert "really lies in /tmp, on the container's own file system, on no claim" in why


def test_a_dump_behind_a_link_inside_its_claim_is_recorded_where_it_is(shop: Shop) -> None:
    shop.kubectl.exec(
        *("pg-0", "sh", "-c", "cd /var/lib/postgresql/data && mkdir real && ln -s real link"),
        container="postgres",
    )
    linked = policy(shop.name)["spec"]["dumps"][0] | {"file": DUMP.replace("backstay", "link")}
    shop.policy("linked", dumps=[linked])
    done = shop.finished(shop.backup("linked", policy="linked"))
    assert done["status"]["dumps"][0]["path"] == "real/shop.dump"
    # The verify pod has no link to follow: it reads what is on record.
    shop.restored(shop.restore({"backup": "linked"}, "data-linked"))
