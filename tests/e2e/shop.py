"""One namespace of the end-to-end tests: its database, its policies, its backups."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any, Self

from tests.e2e.kube import Kube, KubectlError, Obj
from tests.support.kubectl import Kubectl

API = "backstay.dev/v1alpha1"
PREFIX = "backstay.dev/"
CLAIM = "data-pg-0"
DUMP = "/var/lib/postgresql/data/backstay/shop.dump"
DUMPING = "select 1 from pg_stat_activity where application_name = 'pg_dump'"
CHECKSUM = "select count(*) || ':' || md5(string_agg(id || what, ',' order by id)) from orders"
IMAGE = "localhost/backstay-postgres:17"


class Shop:
    """A namespace, made at the start and removed with all that it left at the end."""

    def __init__(self, kubectl: Kube) -> None:
        self.kubectl = kubectl
        self.name = kubectl.namespace

    def __enter__(self) -> Self:
        self.kubectl.run("create", "namespace", self.name)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kubectl.run("delete", "namespace", self.name, "--wait=false", "--ignore-not-found")
        for content in self.contents():
            name = content["metadata"]["name"]
            # A sweep may take it meanwhile.
            with contextlib.suppress(KubectlError):
                self.kubectl.patch(
                    "volumesnapshotcontent", name, {"spec": {"deletionPolicy": "Delete"}}
                )
            self.kubectl.run(
                *("delete", "volumesnapshotcontent", name), "--wait=false", "--ignore-not-found"
            )

    # The database

    def start_database(self) -> None:
        """Start a PostgreSQL on a claim of its own and fill a table."""
        self.kubectl.apply(postgres(self.name))
        self.kubectl.run("rollout", "status", "statefulset/pg", "--timeout", "110s")
        self.sql(
            "create table orders as select id, md5(id::text) as what "
            "from generate_series(1, 2000) id"
        )

    def volume(self) -> str:
        """Return the driver's handle of the database's volume."""
        claim = self.kubectl.get("persistentvolumeclaim", CLAIM)
        volume = self.kubectl.get("persistentvolume", claim["spec"]["volumeName"])
        return str(volume["spec"]["csi"]["volumeHandle"])

    def sql(self, statement: str, pod: str = "pg-0") -> str:
        return self.kubectl.exec(
            pod,
            *("psql", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "shop", "-Atc", statement),
            container="postgres",
        ).strip()

    @contextmanager
    def table_locked(self, *, ends: bool = True) -> Iterator[None]:
        """Hold a lock that pg_dump has to wait for, as long as the block lasts; with `ends` false
        the block ends the server.
        """
        holder = "begin; lock table orders in access exclusive mode; select pg_sleep(600)"
        running = Kubectl(self.kubectl.kubeconfig, self.name).start(
            *("exec", "pg-0", "--container", "postgres", "--"),
            *("psql", "-U", "postgres", "-d", "shop", "-c", holder),
        )
        sleeping = "from pg_stat_activity where wait_event = 'PgSleep'"
        try:
            self.kubectl.until("the lock to be held", lambda: self.sql(f"select 1 {sleeping}"), 30)
            yield
        finally:
            if ends:
                self.sql(f"select pg_terminate_backend(pid) {sleeping}")
            running.wait(30)

    @contextmanager
    def dump_held(self, policy: str = "shop") -> Iterator[str]:
        """Yield the name of a run whose pg_dump stands still as long as the block lasts: behind
        a lock it would give up after a minute.
        """
        with self.table_locked():
            name = self.backup(policy=policy)
            self.kubectl.until("pg_dump to run", lambda: self.sql(DUMPING), 60)
            self._signal_dump("STOP")
        try:
            yield name
        finally:
            self._signal_dump("CONT")

    def _signal_dump(self, signal: str) -> None:
        script = (
            'for p in /proc/[0-9]*; do [ "$(cat "$p/comm" 2>/dev/null)" != pg_dump ] || '
            'kill -s "$0" "${p#/proc/}"; done'
        )
        self.kubectl.exec("pg-0", "sh", "-c", script, signal, container="postgres")

    def touch_policy(self, name: str = "shop") -> None:
        """Have retention look at a policy now: the resync would do it within minutes.

        Only a changed spec asks for that, so a timeout that no test comes near is changed.
        """
        timeout = f"{86400 + secrets.randbelow(86400)}s"
        self.kubectl.patch("backuppolicy", name, {"spec": {"snapshot": {"readyTimeout": timeout}}})

    # Policies, backups, restores

    def policy(self, name: str = "shop", **spec: Any) -> None:
        """Create or change a policy with a dump; fields of its spec are overridden by `spec`."""
        self.kubectl.apply(policy(self.name, name, **spec))

    def backup(self, name: str | None = None, policy: str = "shop", **spec: Any) -> str:
        """Ask for an ad-hoc run; return the Backup's name."""
        name = name or f"run-{secrets.token_hex(3)}"
        self.kubectl.create(
            {
                "apiVersion": API,
                "kind": "Backup",
                "metadata": {"name": name, "namespace": self.name},
                "spec": {"policy": policy, **spec},
            }
        )
        return name

    def finished(self, name: str, *phases: str, seconds: float = 120) -> Obj:
        """Wait for a Backup to end in one of these phases (default: Completed)."""
        return self.kubectl.until_phase(
            "backups.backstay.dev", name, *(phases or ("Completed",)), seconds=seconds
        )

    def one_after_another(self, count: int) -> list[str]:
        """Return the names of so many good runs, oldest first.

        API times have whole seconds, so the next one is created when the second of the snapshot is
        past: of two runs or points of one second the name decides which is the newer.
        """
        names: list[str] = []
        for _ in range(count):
            names.append(self.backup())
            self.finished(names[-1])
            (snapshot,) = self.snapshots_of(names[-1])
            self.kubectl.until(
                "the second of the snapshot to be past", partial(_is_past, snapshot["status"])
            )
        return names

    def restore(self, source: Obj, new_claim: str, claim: str = CLAIM) -> str:
        """Ask for a restore from `source` (the from field); return the request's name."""
        name = f"restore-{secrets.token_hex(3)}"
        self.kubectl.create(
            {
                "apiVersion": API,
                "kind": "RestoreRequest",
                "metadata": {"name": name, "namespace": self.name},
                "spec": {
                    "from": source,
                    "claims": [{"claim": claim, "to": {"newClaim": {"name": new_claim}}}],
                },
            }
        )
        return name

    def restored(self, name: str, *phases: str, seconds: float = 120) -> Obj:
        """Wait for a RestoreRequest to end in one of these phases (default: Completed)."""
        return self.kubectl.until_phase(
            "restorerequests", name, *(phases or ("Completed",)), seconds=seconds
        )

    def ready(self, policy_name: str = "shop") -> Obj:
        """Return the Ready condition of a policy once it speaks of the policy as it is."""

        def check() -> Obj | None:
            found = self.kubectl.get("backuppolicy", policy_name)
            for condition in found.get("status", {}).get("conditions", []):
                if condition["observedGeneration"] == found["metadata"]["generation"]:
                    return dict(condition)
            return None

        return self.kubectl.until(f"policy {policy_name} to be judged", check, 30)

    # Artifacts

    def snapshots(self, **labels: str) -> list[Obj]:
        """Return the namespace's snapshots with these labels of ours, oldest first."""
        selector = ",".join(f"{PREFIX}{key.replace('_', '-')}={v}" for key, v in labels.items())
        chosen = ["--selector", selector] if selector else []
        found = self.kubectl.list("volumesnapshots", *chosen)
        return sorted(found, key=lambda s: s["metadata"]["creationTimestamp"])

    def snapshots_of(self, backup: str) -> list[Obj]:
        return self.snapshots(backup=backup)

    def content(self, snapshot: Obj) -> Obj:
        return self.kubectl.get(
            "volumesnapshotcontent", snapshot["status"]["boundVolumeSnapshotContentName"]
        )

    def contents(self) -> list[Obj]:
        """Return the contents whose snapshot is, or was, in this namespace."""
        return [
            c
            for c in self.kubectl.list("volumesnapshotcontents")
            if c["spec"]["volumeSnapshotRef"].get("namespace") == self.name
        ]

    def label(self, snapshot: str, **labels: str | None) -> None:
        """Edit labels of ours by hand, as a person would; None removes. The point is made old: no
        date is followed within a day of becoming good.
        """
        notes = {PREFIX + "good-since": "2020-01-01T00:00:00Z"}
        changes = {PREFIX + key.replace("_", "-"): value for key, value in labels.items()}
        self.kubectl.patch(
            "volumesnapshot", snapshot, {"metadata": {"labels": changes, "annotations": notes}}
        )

    def events(self, kind: str, name: str) -> list[Obj]:
        found = self.kubectl.list("events")
        mine = [
            e
            for e in found
            if e["involvedObject"]["kind"] == kind and e["involvedObject"]["name"] == name
        ]
        # Several of one run fall into one second; versions are given out in order.
        return sorted(mine, key=lambda e: int(e["metadata"]["resourceVersion"]))


def _is_past(status: Obj) -> bool:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) > str(status["creationTime"])


def ours(obj: Obj) -> dict[str, str]:
    """Return the labels of ours, without the prefix."""
    labels: dict[str, str] = obj["metadata"].get("labels", {})
    return {k.removeprefix(PREFIX): v for k, v in labels.items() if k.startswith(PREFIX)}


def policy(namespace: str, name: str = "shop", **spec: Any) -> Obj:
    """Return a policy with one dump of the shop's database; `spec` overrides (None removes)."""
    whole: Obj = {
        "source": {"claims": {"names": [CLAIM]}},
        "dumps": [
            {
                "name": "shop",
                "target": {"kind": "StatefulSet", "name": "pg", "container": "postgres"},
                "postgres": {"databases": ["shop"]},
                "file": DUMP,
            }
        ],
        "snapshot": {"className": "btrfs-retain"},
        "retention": {"daily": 7, "weekly": 4, "monthly": 12},
        "retries": 0,
        **spec,
    }
    return {
        "apiVersion": API,
        "kind": "BackupPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {key: value for key, value in whole.items() if value is not None},
    }


def postgres(namespace: str) -> Obj:
    """Return a StatefulSet of one PostgreSQL on one claim, as examples/demo has it."""
    container = {
        "name": "postgres",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": "POSTGRES_DB", "value": "shop"}],
        "readinessProbe": {
            "exec": {"command": ["pg_isready", "-U", "postgres", "-d", "shop"]},
            "periodSeconds": 1,
        },
        "volumeMounts": [{"name": "data", "mountPath": "/var/lib/postgresql/data"}],
    }
    claim = {
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "pg", "namespace": namespace},
        "spec": {
            "serviceName": "pg",
            "replicas": 1,
            "selector": {"matchLabels": {"app": "pg"}},
            "template": {
                "metadata": {"labels": {"app": "pg"}},
                "spec": {"terminationGracePeriodSeconds": 2, "containers": [container]},
            },
            "volumeClaimTemplates": [claim],
        },
    }
