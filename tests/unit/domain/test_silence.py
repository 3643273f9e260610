"""Why something is waited for: what is in the objects and Events, in words for people."""

from __future__ import annotations

from typing import Any

import pytest

from backstay.domain.jobs import job_seen
from backstay.domain.objects import Obj
from backstay.domain.silence import error_of, silence_of, unbound, unstarted, warning_of

BOUND = {"boundVolumeSnapshotContentName": "c"}
HANDLE = {"snapshotHandle": "h"}


def snapshot(**status: Any) -> Obj:
    made: Obj = {"metadata": {"name": "s", "namespace": "shop"}}
    return made | {"status": status} if status else made


def content(**status: Any) -> Obj:
    return {"metadata": {"name": "c"}, "spec": {"driver": "csi.example"}, "status": status}


@pytest.mark.parametrize(
    ("of", "has", "words"),
    [
        (snapshot(), None, "VolumeSnapshot s has no status after 20 s: is the snapshot controller"),
        (snapshot(readyToUse=False), None, "bound to no content after 20 s: is the snapshot contr"),
        (
            snapshot(**BOUND),
            None,
            "VolumeSnapshotContent c, which VolumeSnapshot s is bound to",
        ),
        (snapshot(**BOUND), content(), "the csi-snapshotter sidecar of driver csi.example has not"),
        (snapshot(**BOUND), content(**HANDLE), "has no creationTime after 20 s: is the snapshot c"),
        (
            snapshot(**BOUND, creationTime="2026-11-22T00:32:00Z"),
            content(**HANDLE, readyToUse=True),
            "content c is ready, VolumeSnapshot s is not after 20 s: is the snapshot controller",
        ),
        (
            snapshot(**BOUND, creationTime="2026-11-22T00:32:00Z"),
            content(**HANDLE, readyToUse=False),
            "VolumeSnapshot s is taken; driver csi.example has not made it ready to use yet",
        ),
    ],
)
def test_who_has_to_act_next_is_named(of: Obj, has: Obj | None, words: str) -> None:
    assert words in silence_of(of, has)


@pytest.mark.parametrize(
    ("of", "has", "expected"),
    [
        (snapshot(), None, ""),
        (snapshot(error={"message": "copied late"}), content(), "copied late"),
        (
            snapshot(error={"message": "copied late"}),
            content(error={"message": "backend busy: rate limited"}),
            "backend busy: rate limited",
        ),
        (snapshot(), content(error={"message": "no space"}), "no space"),
    ],
)
def test_the_drivers_word_is_reported_as_it_was_written_and_the_contents_first(
    of: Obj, has: Obj | None, expected: str
) -> None:
    assert error_of(of, has) == expected


def event(reason: str, at: str, type_: str = "Warning", **more: Any) -> Obj:
    return {
        "type": type_,
        "reason": reason,
        "message": f"{reason}\n said",
        "lastTimestamp": at,
    } | more


def test_the_newest_warning_of_an_objects_events_is_reported() -> None:
    events = [
        event("Old", "2026-11-22T00:32:00Z"),
        event("New", "", eventTime="2026-11-22T00:33:00.000000Z"),
        event("Fine", "2026-11-22T00:34:00Z", "Normal"),
    ]

    assert warning_of(events) == "New: New said"
    assert warning_of(events[2:]) == ""
    assert warning_of([]) == ""


def test_a_claim_and_a_pod_of_which_nobody_says_anything_have_words_too() -> None:
    claim = {"metadata": {"name": "d"}, "spec": {"storageClassName": "fast"}}
    pod: Obj = {"metadata": {"name": "v"}, "spec": {}}

    assert "is the provisioner of StorageClass fast running" in unbound(claim)
    assert unstarted(pod) == "Pod v has no node yet: is the scheduler running?"
    assert "on node n1" in unstarted(pod | {"spec": {"nodeName": "n1"}})


JOB: Obj = {"metadata": {"name": "j"}}
POD: Obj = {"metadata": {"name": "p"}, "spec": {}, "status": {"phase": "Pending"}}


def waiting(reason: str, message: str = "") -> Obj:
    status = {"containerStatuses": [{"state": {"waiting": {"reason": reason, "message": message}}}]}
    return POD | {"status": status}


UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}


@pytest.mark.parametrize(
    ("pods", "silent", "words"),
    [
        ([], True, "no Pod was made for it yet"),
        ([POD], True, "Pod p has no node yet: is the scheduler running?"),
        ([waiting("ContainerCreating")], True, "its container is being made: see the Events of"),
        ([waiting("ErrImagePull", "not found")], False, "ErrImagePull: not found"),
        ([POD | {"status": {"conditions": [UNSCHEDULABLE]}}], False, "0/1 nodes are available"),
    ],
)
def test_a_job_that_has_not_started_always_has_words(
    pods: list[Obj], silent: bool, words: str
) -> None:
    seen = job_seen(JOB, pods)

    assert seen.silent is silent
    assert seen.message.startswith(words)


def test_a_job_that_runs_is_not_silent() -> None:
    running = POD | {"status": {"containerStatuses": [{"state": {"running": {}}}]}}

    seen = job_seen(JOB, [running])

    assert (seen.silent, seen.message) == (False, "")
