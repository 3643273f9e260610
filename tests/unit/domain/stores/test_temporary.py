"""Which temporary claims are ours, needed and read, and what class one gets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.builders import RUN_UID

from backstay.api.store import ROLLING
from backstay.builders.temporary_claim import temporary_claim
from backstay.domain import labels
from backstay.domain.objects import Obj
from backstay.domain.records.record import ClaimRecord
from backstay.domain.stores.temporary import (
    fitting_class,
    is_needed,
    is_read,
    job_name,
    run_of,
)

SOURCE = ClaimRecord("data", "uid-data", "1Gi", "fast", ("ReadWriteMany",), "Filesystem")
BACKUP: Obj = {
    "apiVersion": "backstay.dev/v1alpha1",
    "kind": "Backup",
    "metadata": {"name": "shop-1", "namespace": "team", "uid": RUN_UID},
}
NAME = job_name(BACKUP, 1, "data", ROLLING)


def claim(name: str = NAME) -> Obj:
    return temporary_claim(
        name=name,
        owner=BACKUP,
        data_source={"kind": "PersistentVolumeClaim", "name": "data"},
        storage_class="fast",
        access_modes=["ReadWriteOnce"],
        size="1Gi",
    )


def backup(result: str = "pending", attempt: int = 1, source: str = "data", **meta: str) -> Obj:
    point = {"source": source, "store": "Rolling", "attempt": attempt, "result": result}
    status = {"attempt": attempt, "points": [point]}
    return {**BACKUP, "metadata": {**BACKUP["metadata"], **meta}, "status": status}


def test_a_claim_says_which_run_made_it() -> None:
    assert run_of(claim()) == RUN_UID


def test_a_claim_that_a_person_labelled_or_made_of_our_manifest_is_not_ours() -> None:
    labelled: Obj = {"metadata": {"name": "data", "labels": {labels.TEMPORARY: RUN_UID}}}
    copied = claim()
    copied["metadata"]["name"] = "mine"
    orphaned = claim()
    del orphaned["metadata"]["ownerReferences"]
    assert [run_of(c) for c in (labelled, copied, orphaned)] == ["", "", ""]


def test_a_claim_is_needed_while_its_copy_is_not_decided() -> None:
    assert is_needed(claim(), backup())


@pytest.mark.parametrize(
    "read",
    [
        None,
        backup(result="good"),
        backup(result="failed"),
        backup(attempt=2),
        backup(source="other"),
        backup(uid="00000000-0000-4000-8000-000000000002"),
        backup(deletionTimestamp="2026-11-22T00:00:00Z"),
    ],
    ids=["gone", "good", "failed", "next attempt", "another claim", "recreated", "deleted"],
)
def test_a_claim_is_not_needed_when_its_copy_is_decided_or_its_backup_gone(
    read: Obj | None,
) -> None:
    assert not is_needed(claim(), read)


def job(*kinds: str, status: str = "True") -> Obj:
    return {"status": {"conditions": [{"type": kind, "status": status} for kind in kinds]}}


def pod(phase: str, name: str = NAME) -> Obj:
    volume = {"persistentVolumeClaim": {"claimName": name}}
    return {"spec": {"volumes": [volume]}, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("job_", "pods", "read"),
    [
        (None, [], False),
        (job("Complete"), [pod("Succeeded")], False),
        (job("Failed"), [pod("Failed"), pod("Running", "other")], False),
        # Between two Pods there is none.
        (job(), [], True),
        (job("Complete", status="False"), [], True),
        # A Job that was deleted goes before its Pods do.
        (None, [pod("Running")], True),
        (job("Failed"), [pod("Pending")], True),
    ],
)
def test_a_claim_is_read_as_long_as_its_job_or_a_pod_may_read_it(
    job_: Obj | None, pods: list[Obj], read: bool
) -> None:
    assert is_read(claim(), job_, pods) is read


def storage(name: str, driver: str = "csi", *, default: bool = False) -> Obj:
    notes = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    return {"metadata": {"name": name, "annotations": notes}, "provisioner": driver}


@pytest.mark.parametrize(
    ("own", "classes", "chosen"),
    [
        ("fast", [storage("cheap", default=True), storage("fast")], ("fast", ("ReadWriteMany",))),
        ("fast", [storage("cheap"), storage("fast", "other")], ("cheap", ("ReadWriteOnce",))),
        (None, [storage("b", default=True), storage("a")], ("b", ("ReadWriteOnce",))),
        ("", [storage("b"), storage("a")], ("a", ("ReadWriteOnce",))),
        # In-tree and migrated: the class has the name of before.
        ("fast", [storage("fast", "kubernetes.io/disk")], ("fast", ("ReadWriteMany",))),
        (None, [storage("fast", "other", default=True)], None),
    ],
)
def test_a_claim_keeps_its_class_and_modes_where_its_driver_makes_it(
    own: str | None, classes: list[Obj], chosen: object
) -> None:
    assert fitting_class(replace(SOURCE, storage_class=own), "csi", classes) == chosen
