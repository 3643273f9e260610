"""A claim that a restore made, when its request is not there any more."""

from __future__ import annotations

from typing import Any

import pytest

from backstay.domain import labels
from backstay.domain.objects import Obj
from backstay.domain.restore.leftovers import Fate, fate

MINE = "uid-request"


def claim(label: str = MINE, note: str = MINE, **metadata: Any) -> Obj:
    carried = {labels.RESTORING: label}
    notes = {labels.RESTORE_REQUEST: note} if note else {}
    return {
        "metadata": {"name": "data", "labels": carried, "annotations": notes, **metadata},
        "status": {"phase": "Pending"},
    }


def pod(of: str, owner: str = "", run: str = "") -> Obj:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": of}}]
    owners = [{"uid": owner}] if owner else []
    notes = {labels.RUN: run} if run else {}
    meta = {"name": "p", "ownerReferences": owners, "annotations": notes}
    return {"metadata": meta, "spec": {"volumes": volumes}}


@pytest.mark.parametrize(
    ("found", "requests", "pods", "expected"),
    [
        (claim(), {MINE}, [], Fate.KEEP),
        (claim(), {"another"}, [], Fate.DELETE),
        (claim(), set(), [pod("data", owner=MINE)], Fate.DELETE),
        (claim(), set(), [pod("data", owner="a-job", run=MINE)], Fate.DELETE),
        (claim(), set(), [pod("data", owner="a-job", run="a-backup")], Fate.HAND_OVER),
        (claim(), set(), [pod("other")], Fate.DELETE),
        (claim(), set(), [pod("data")], Fate.HAND_OVER),
        (claim(), set(), [pod("data", owner="a-replica-set")], Fate.HAND_OVER),
        (claim(note=""), set(), [], Fate.HAND_OVER),
        (claim(label=""), set(), [], Fate.HAND_OVER),
        (claim(note="uid-of-another"), set(), [], Fate.HAND_OVER),
        (claim(deletionTimestamp="2026-11-22T01:00:00Z"), set(), [], Fate.KEEP),
    ],
    ids=[
        "its request is there",
        "its request is gone",
        "our own pod verifies it",
        "our own Job fills it",
        "a run of ours reads it",
        "a pod uses another",
        "a pod uses it",
        "a workload uses it",
        "made by hand",
        "no request",
        "of two minds",
        "it goes already",
    ],
)
def test_only_what_nobody_else_can_miss_is_deleted(
    found: Obj, requests: set[str], pods: list[Obj], expected: Fate
) -> None:
    assert fate(found, requests, pods) is expected
