"""Whether a repository can be used now, and by how many."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.repository_looks import condition, known, spec

from backstay.api.repository_status import RepositoryStatus
from backstay.domain.errors import UserError
from backstay.domain.objects import Obj
from backstay.domain.stores.repository.use import busy, check_ready, is_cache


def job(name: str, *, ended: str = "", task: str = "") -> Obj:
    labels = {"backstay.dev/repository": "offsite"}
    if task:
        labels["backstay.dev/repository-task"] = task
    conditions = [{"type": ended, "status": "True"}] if ended else []
    return {"metadata": {"name": name, "labels": labels}, "status": {"conditions": conditions}}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (RepositoryStatus(), "it was not opened yet"),
        (known(ready=condition("False", "Vanished")), "Vanished: "),
        (known(ready=condition("Unknown", "JobWaits")), "JobWaits: "),
        (RepositoryStatus(conditions=(condition(),)), "Opened: "),
    ],
)
def test_only_one_that_is_ready_and_known_can_be_used(status: RepositoryStatus, words: str) -> None:
    with pytest.raises(UserError, match=f"BackupRepository offsite is not Ready: {words}") as error:
        check_ready("offsite", status)
    assert error.value.reason == "RepositoryNotReady"


def test_one_that_is_ready_can_be_used() -> None:
    check_ready("offsite", known())


FOUR = [job(f"up-{n}") for n in range(4)]


@pytest.mark.parametrize(
    ("jobs", "values", "one", "words"),
    [
        ([], {}, False, ""),
        (FOUR[:3], {}, False, ""),
        (FOUR, {}, False, "4 of at most 4 Jobs of BackupRepository offsite are at work: up-0, up"),
        (FOUR[:2], {"limits": {"movers": 2}}, False, "2 of at most 2 Jobs"),
        ([*FOUR[:3], job("old", ended="Complete")], {}, False, ""),
        ([*FOUR[:3], job("old", ended="Failed")], {}, False, ""),
        ([*FOUR[:3], job("open", task="Open")], {}, False, ""),
        (FOUR[:1], {"claim": {"name": "disk"}}, True, "1 of at most 1 Jobs"),
        (FOUR[:1], {"cache": {"storageClassName": "fast"}}, False, "1 of at most 1 Jobs"),
        (
            FOUR[:1],
            {"cache": {"storageClassName": "nfs", "accessModes": ["ReadWriteMany"]}},
            False,
            "",
        ),
        (FOUR[:1], {"cache": {"size": "1Gi"}}, False, ""),
    ],
)
def test_as_many_movers_work_at_once_as_are_allowed_and_can(
    jobs: list[Obj], values: dict[str, Any], one: bool, words: str
) -> None:
    found = busy("offsite", spec(**values), known(), jobs, one=one)

    assert found.startswith(words)
    assert bool(found) is bool(words)


def test_none_starts_during_maintenance() -> None:
    found = busy("offsite", spec(), known(work="Maintain"), [], one=False)

    assert found == "maintenance of BackupRepository offsite is under way"
    assert busy("offsite", spec(), known(work="Open"), [], one=False) == ""


@pytest.mark.parametrize(
    ("labels", "owner", "expected"),
    [
        ({"backstay.dev/repository": "offsite"}, "BackupRepository", True),
        # Anybody can write a label, and must not keep data from being backed up.
        ({"backstay.dev/repository": "offsite"}, "StatefulSet", False),
        ({}, "BackupRepository", False),
    ],
)
def test_a_claim_is_a_cache_only_if_it_goes_with_a_repository(
    labels: dict[str, str], owner: str, expected: bool
) -> None:
    metadata = {"name": "c", "labels": labels, "ownerReferences": [{"kind": owner}]}

    assert is_cache({"metadata": metadata}) is expected
