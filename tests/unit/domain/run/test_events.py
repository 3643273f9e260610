"""Which Events a run posts: its start, the attempts that failed, and its end."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, cast

import pytest
from tests.support.builders import status

from backstay.api.backup import BackupPhase, BackupSpec, BackupStatus
from backstay.domain.subject import Subject
from backstay.kube.events import EventPoster
from backstay.reconcile.runs import report

P = BackupPhase
MESSAGE = "attempt 1 failed: no space"


class Reported:
    """An EventPoster that only notes."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, int]] = []

    async def post(
        self, obj: Mapping[str, Any], reason: str, message: str, *, type: str, attempt: int
    ) -> None:
        del obj, message
        self.events.append((type, reason, attempt))


async def reported(*steps: BackupStatus) -> list[tuple[str, str, int]]:
    """The Events of a run whose statuses follow each other."""
    events = Reported()
    obj = {"metadata": {"name": "b", "namespace": "shop", "uid": "u"}}
    for before, after in pairwise(steps):
        subject = Subject(obj, BackupSpec(policy="shop"), before)
        await report(cast(EventPoster, events), subject, after)
    return events.events


def at(phase: BackupPhase, attempt: int = 1, message: str | None = None) -> BackupStatus:
    return status(phase).model_copy(update={"attempt": attempt, "message": message})


BEGIN = (at(P.PENDING, 0), at(P.QUEUED, 0), at(P.QUEUED, 0, "waiting for x"))
WORK = (at(P.DUMPING), at(P.SNAPSHOTTING), at(P.UPLOADING))
AGAIN = (at(P.QUEUED, 1, MESSAGE), at(P.DUMPING, 2), at(P.SNAPSHOTTING, 2), at(P.UPLOADING, 2))


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((*BEGIN, *WORK, at(P.COMPLETED)), [("Normal", "Started", 1), ("Normal", "Completed", 1)]),
        (
            (*BEGIN, *WORK, *AGAIN, at(P.COMPLETED, 2)),
            [
                ("Normal", "Started", 1),
                ("Warning", "AttemptFailed", 1),
                ("Normal", "Completed", 2),
            ],
        ),
        (
            (*BEGIN, at(P.COPYING), at(P.PARTIALLY_FAILED)),
            [("Normal", "Started", 1), ("Warning", "PartiallyFailed", 1)],
        ),
        ((at(P.PENDING, 0), at(P.FAILED, 0)), [("Warning", "Failed", 0)]),
        (BEGIN, []),
    ],
)
async def test_a_run_posts_its_start_its_warnings_and_its_end(
    steps: tuple[BackupStatus, ...], expected: list[tuple[str, str, int]]
) -> None:
    assert await reported(*steps) == expected
