"""Whose turn it is at a repository: restores go before backups."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.repository_looks import ID, spec

from backstay.api.common import Condition
from backstay.api.repository_status import RepositoryStatus
from backstay.api.restore import RestoreSpec
from backstay.api.restore_status import RestoreStatus
from backstay.domain.objects import Obj
from backstay.domain.restore.wishes import Request
from backstay.domain.stores.repository.use import busy, waiting
from backstay.domain.subject import parse_subject

READY = RepositoryStatus(
    id=ID,
    conditions=(
        Condition(
            type="Ready", status="True", reason="Opened", message="",
            last_transition_time=datetime(2026, 11, 30, tzinfo=UTC),
        ),
    ),
)  # fmt: skip


def job(name: str, *, ended: bool = False) -> Obj:
    conditions = [{"type": "Complete", "status": "True"}] if ended else []
    return {"metadata": {"name": name}, "status": {"conditions": conditions}}


@pytest.mark.parametrize(
    ("running", "first", "words"),
    [
        (0, [], ""),
        (3, [], ""),
        (4, [], "4 of at most 4 Jobs"),
        (3, ["back"], "RestoreRequest back goes first"),
        (2, ["back"], ""),
        (1, ["back", "back", "other"], "RestoreRequest back, other goes first"),
        (4, ["back"], "4 of at most 4 Jobs"),
    ],
)
def test_a_backup_takes_no_place_that_a_restore_waits_for(
    running: int, first: list[str], words: str
) -> None:
    jobs = [*(job(f"j{n}") for n in range(running)), job("over", ended=True)]

    found = busy("offsite", spec(), READY, jobs, one=False, first=first)

    assert found.startswith(words)
    assert bool(found) == bool(words)


def request(phase: str = "Restoring", **item: Any) -> Request:
    whole = {
        "source": "data", "store": "Repository", "ref": "1" * 64, "target": "NewClaim",
        "claim": "data-back", "into": "data-back", "claimedAt": "2026-11-30T00:00:00Z", **item,
    }  # fmt: skip
    obj = {
        "metadata": {"name": "back", "namespace": "shop", "uid": "u-1"},
        "spec": {
            "from": {"repository": {"name": "offsite"}},
            "claims": [{"claim": "data", "to": {"newClaim": {"name": "data-back"}}}],
        },
        "status": {"phase": phase, "items": [whole]},
    }
    return parse_subject("RestoreRequest", obj, RestoreSpec, RestoreStatus)


@pytest.mark.parametrize(
    ("found", "held", "waits"),
    [
        (request(), (), ["back"]),
        (request(job="back-restore-1"), (), []),
        (request(failed="no"), (), []),
        (request(store="Snapshot"), (), []),
        (request("Completed"), (), []),
        # It waits for that very run: who waited for it in turn would wait for ever.
        (request(claim="data"), ("data", "web"), []),
        (request(claim="data"), ("web",), ["back"]),
    ],
)
def test_a_restore_waits_for_a_job_until_it_has_one(
    found: Request, held: tuple[str, ...], waits: list[str]
) -> None:
    assert waiting(found, held) == waits
