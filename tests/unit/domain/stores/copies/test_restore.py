"""Which copy of a Backup is restored, and how far its Job is."""

from __future__ import annotations

from typing import Any

import pytest

from backstay.api.backup import BackupStatus
from backstay.api.restore import ClaimDestination, ClaimRestore, DirectoryRestore, NewClaim
from backstay.api.restore_status import RestoreTarget
from backstay.domain.errors import UserError
from backstay.domain.jobs import JobSeen
from backstay.domain.restore.acknowledgement import Acknowledged
from backstay.domain.restore.sights import Fill
from backstay.domain.restore.wishes import Wish
from backstay.domain.stores.copies.restore import choose_copy, fill_of

ONLY = Wish(RestoreTarget.DIRECTORY, None, directory=DirectoryRestore(path="/srv/x"))
CLAIM = Wish(
    RestoreTarget.NEW_CLAIM,
    "data",
    claim=ClaimRestore(claim="data", to=ClaimDestination(new_claim=NewClaim(name="new"))),
)


def named(source: str) -> Wish:
    directory = DirectoryRestore(source=source, path="/srv/x")
    return Wish(RestoreTarget.DIRECTORY, source, directory=directory)


def backup(*claims: str, **copy: Any) -> BackupStatus:
    """A Backup with a good copy of each claim, or of a directory in one."""
    planned = [{"claim": c, "path": p} for c, _, p in (name.partition("/") for name in claims)]
    settings = {"destination": {"claim": {"name": "copies"}}}
    plan = {"zone": "UTC", "claims": [], "takeTimeout": "1m", "readyTimeout": "1m", "retries": 0}
    rolling = {"uid": "u", "version": "v", **copy}
    base = {"store": "Rolling", "attempt": 1, "result": "good", "ref": "S", "rolling": rolling}
    return BackupStatus.model_validate(
        {
            "phase": "Completed",
            "plan": {**plan, "rolling": {"copies": planned, "settings": settings}},
            "points": [{**base, "source": name} for name in claims],
        }
    )


@pytest.mark.parametrize(
    ("found", "wish", "source"),
    [
        (backup("data"), ONLY, "data"),
        (backup("data", "logs"), named("logs"), "logs"),
        (backup("logs", "data"), CLAIM, "data"),
        (backup("database", "data/uploads"), CLAIM, "data/uploads"),
    ],
    ids=["the only one", "as named", "of the claim", "of a directory in it"],
)
def test_the_copy_that_a_wish_is_of_is_found(found: BackupStatus, wish: Wish, source: str) -> None:
    chosen = choose_copy("b", found, wish, Acknowledged())

    assert (chosen.entry.source, chosen.copy.series) == (source, source)


@pytest.mark.parametrize(
    ("found", "wish", "reason", "words"),
    [
        (BackupStatus(), ONLY, "NotACopy", "spec.directory: Backup b has no rolling copies"),
        (backup("data", gone=True), ONLY, "NoGoodCopy", "Backup b has no good copy: Completed"),
        (backup("data", "logs"), ONLY, "SourceNeeded", "name one of data, logs"),
        (backup("data"), named("logs"), "SourceNotInBackup", "spec.directory.source: Backup b"),
        (backup("logs"), CLAIM, "SourceNotInBackup", "spec.claims[].claim: Backup b has no good"),
        (backup("data", missing=True), ONLY, "CopyMissing", "add CopyMissing to spec.acknowledge"),
    ],
)
def test_a_backup_without_it_is_refused_with_the_field(
    found: BackupStatus, wish: Wish, reason: str, words: str
) -> None:
    with pytest.raises(UserError) as refused:
        choose_copy("b", found, wish, Acknowledged())

    assert refused.value.reason == reason
    assert words in refused.value.message


def test_a_job_that_is_not_there_has_not_begun() -> None:
    assert fill_of(JobSeen(), None, JobSeen()) == Fill()


def test_a_job_that_succeeded_and_whose_word_is_lost_has_restored() -> None:
    fill = fill_of(JobSeen(name="j", exists=True, succeeded=True), None, JobSeen())

    assert (fill.done, fill.failed, fill.says) == (
        True,
        "",
        "restored; what the Job said is lost",
    )
