"""Every state of a sweep has one next write."""

import re
from dataclasses import replace

import pytest

from backstay.domain import labels
from backstay.domain.stores.snapshots.content import content_of
from backstay.domain.stores.snapshots.deletion import (
    Action,
    Carrier,
    Content,
    DeletionPolicy,
    Step,
    plan_sweep,
)

RETAIN, DELETE = DeletionPolicy.RETAIN, DeletionPolicy.DELETE
SNAPSHOT = Carrier("snap", "S", "11")
GOING = replace(SNAPSHOT, deleting=True)
CONTENT = Content("content", "C", "22", "driver", "disk-1", RETAIN, "S", "2026-11-20")
TWIN = replace(CONTENT, name="twin", uid="T", ref_uid="other")
PROOF = "S.2026-11-20"


def content(swept: str | None, policy: DeletionPolicy = RETAIN) -> Content:
    return replace(CONTENT, swept=swept, deletion_policy=policy)


UNDATED = replace(CONTENT, delete_after=None)
LEAVING = replace(content(PROOF, DELETE), deleting=True)

# snapshot, content, others, the step
TABLE: list[tuple[Carrier | None, Content | None, list[Content], Step]] = [
    (SNAPSHOT, content(None), [], Step.DELETE_SNAPSHOT),
    (SNAPSHOT, content(None), [TWIN], Step.DELETE_SNAPSHOT),
    (SNAPSHOT, content(None, DELETE), [], Step.SET_RETAIN),
    (SNAPSHOT, content("X.2026-11-20"), [], Step.DELETE_SNAPSHOT),
    (SNAPSHOT, content(PROOF), [], Step.DELETE_SNAPSHOT),
    (SNAPSHOT, UNDATED, [], Step.NOTHING),
    (SNAPSHOT, LEAVING, [], Step.DELETE_SNAPSHOT),
    (SNAPSHOT, replace(LEAVING, delete_after=None), [], Step.DELETE_SNAPSHOT),
    (GOING, LEAVING, [], Step.NOTHING),
    (SNAPSHOT, replace(LEAVING, swept="X.2026-11-20"), [], Step.SET_RETAIN),
    (SNAPSHOT, replace(content(PROOF), ref_uid="X"), [], Step.FROZEN),
    (SNAPSHOT, replace(content(None), ref_uid=None), [], Step.FROZEN),
    (SNAPSHOT, None, [], Step.DELETE_SNAPSHOT),
    (GOING, content(None), [], Step.WRITE_PROOF),
    (GOING, content(None, DELETE), [], Step.SET_RETAIN),
    (GOING, content("S.2026-11-19"), [], Step.WRITE_PROOF),
    (GOING, UNDATED, [], Step.NOTHING),
    (GOING, content(PROOF), [], Step.NOTHING),
    (GOING, None, [], Step.NOTHING),
    (None, content(None), [], Step.FROZEN),
    (None, content(None, DELETE), [], Step.FROZEN),
    (None, content("S"), [], Step.FROZEN),
    (None, content("X.2026-11-20"), [], Step.FROZEN),
    (None, replace(content(PROOF), ref_uid=None), [], Step.FROZEN),
    (None, content(PROOF), [], Step.SET_DELETE),
    (None, content(PROOF, DELETE), [], Step.DELETE_CONTENT),
    (None, content(PROOF), [TWIN], Step.DELETE_CONTENT),
    (None, content(PROOF, DELETE), [TWIN], Step.SET_RETAIN),
    (None, None, [], Step.NOTHING),
    (None, None, [TWIN], Step.NOTHING),
    # a person thought better of it once the snapshot was gone
    (None, replace(content(PROOF), held=True), [], Step.FROZEN),
    (None, replace(content(PROOF, DELETE), held=True), [], Step.FROZEN),
    (None, replace(content(PROOF), held=True), [TWIN], Step.FROZEN),
    (None, replace(content(PROOF), delete_after=None), [], Step.FROZEN),
    (None, replace(content(PROOF), delete_after="2026-12-31"), [], Step.FROZEN),
]


@pytest.mark.parametrize(("snapshot", "its_content", "others", "step"), TABLE)
def test_each_state_has_one_next_write(
    snapshot: Carrier | None,
    its_content: Content | None,
    others: list[Content],
    step: Step,
) -> None:
    assert plan_sweep(snapshot, its_content, others).step is step


def test_a_write_names_its_object_and_what_it_must_still_look_like() -> None:
    assert plan_sweep(SNAPSHOT, CONTENT, []) == Action(
        Step.DELETE_SNAPSHOT, "due", "snap", "S", "11", content=CONTENT
    )
    found = plan_sweep(GOING, CONTENT, [])
    assert (found.name, found.uid, found.resource_version) == ("content", "C", "22")
    assert found.proof == PROOF


def test_what_is_written_before_the_snapshot_goes_is_no_proof_once_it_is_gone() -> None:
    """Whatever the steps until the DELETE wrote: the snapshot may be gone by another hand."""
    for policy in (RETAIN, DELETE):
        before = content(None, policy)
        if plan_sweep(SNAPSHOT, before, []).step is Step.SET_RETAIN:
            before = replace(before, deletion_policy=RETAIN)
        assert plan_sweep(SNAPSHOT, before, []).step is Step.DELETE_SNAPSHOT
        assert plan_sweep(None, before, []).step is Step.FROZEN


def test_the_disk_of_a_shared_handle_is_kept() -> None:
    found = plan_sweep(None, content(PROOF), [TWIN])
    assert found.keeps_disk
    assert "twin" in found.why
    assert not plan_sweep(None, content(PROOF, DELETE), []).keeps_disk


@pytest.mark.parametrize(
    "other",
    [
        replace(TWIN, driver="another"),
        replace(TWIN, handle="disk-2"),
        replace(TWIN, uid="C"),
    ],
)
def test_only_another_content_of_the_same_driver_and_handle_shares_a_disk(other: Content) -> None:
    assert plan_sweep(None, content(PROOF), [other]).step is Step.SET_DELETE


def test_contents_without_a_handle_share_nothing() -> None:
    one = replace(content(PROOF), handle=None)
    assert plan_sweep(None, one, [replace(TWIN, handle=None)]).step is Step.SET_DELETE


def test_the_proof_is_a_label_that_the_snapshot_controller_does_not_replace() -> None:
    """It writes all annotations of a content from its cache when a snapshot begins to go."""
    uid = "6b1f2c9e-4f0e-4f6e-9d0a-0c7a35f6f0aa"
    proof = f"{uid}.2026-11-20"
    read = content_of(
        {
            "metadata": {
                "name": "c",
                "labels": {labels.SWEPT: proof, labels.DELETE_AFTER: "2026-11-20"},
                "annotations": {},
            },
            "spec": {
                "deletionPolicy": "Retain",
                "volumeSnapshotRef": {"uid": uid},
            },
        }
    )
    assert read.is_proven
    assert re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", proof)
