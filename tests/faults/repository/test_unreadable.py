"""What cannot be read, and a restic that says something else than what it did."""

from __future__ import annotations

import json
import os

import pytest
from tests.faults.repository.harness import Depot
from tests.faults.repository.storing import backup, records, refused, restored, stored
from tests.faults.repository.watched import watched

NOBODYS = 12345
"""Whose files are: a user that the mover is not."""
LENIENT = {"allowUnreadable": True}


def with_words(depot: Depot, words: str) -> Depot:
    """Given lines of a shell script, have restic be run by them, as {restic}."""
    return watched(depot, words.replace("{restic}", str(depot.restic / "restic")))


@pytest.fixture
def unprivileged(made: Depot) -> Depot:
    """The repository, and a restic that may read no more than its user may."""
    return with_words(
        made, 'exec setpriv --bounding-set=-dac_override,-dac_read_search {restic} "$@"'
    )


def hide(depot: Depot, name: str) -> None:
    (depot.source / name).chmod(0)
    os.chown(depot.source / name, NOBODYS, NOBODYS)


@pytest.mark.parametrize("name", ["sub/b", "sub"])
def test_what_cannot_be_read_is_named_and_no_point_is_made(unprivileged: Depot, name: str) -> None:
    hide(unprivileged, name)

    outcome = backup(unprivileged)

    assert "allowUnreadable" in refused(outcome, "SourceUnreadable")
    assert (outcome.result["unreadable"], outcome.result["examples"]) == (1, [name])
    # restic has left a snapshot that looks like a good one.
    assert len(unprivileged.snapshots()) == 1
    assert records(unprivileged) == []


def test_where_that_is_allowed_the_point_says_what_it_lacks(unprivileged: Depot) -> None:
    hide(unprivileged, "sub/b")

    result = stored(unprivileged, source=LENIENT)

    assert (result["files"], result["unreadable"], result["examples"]) == (2, 1, ["sub/b"])
    assert "without 1 entries" in result["message"]
    record = restored(unprivileged, result["record"], unprivileged.folder / "record")
    assert json.loads((record / "record.json").read_text())["stored"]["unreadable"] == 1
    again = backup(unprivileged, source=LENIENT)
    assert (again.reason, again.result["unreadable"]) == ("AlreadyStored", 1)


def test_a_source_of_which_nothing_can_be_read_is_never_a_point(unprivileged: Depot) -> None:
    for name in ("a", "sub"):
        hide(unprivileged, name)
    refused(backup(unprivileged, source=LENIENT), "SourceUnreadable")

    hide(unprivileged, ".")
    refused(backup(unprivileged, source=LENIENT), "SourceUnreadable")
    assert records(unprivileged) == []


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("code", [1, 2, 3, 7, 130])
def test_an_exit_code_that_says_no_is_believed_whatever_is_there(
    made: Depot, code: int, lenient: bool
) -> None:
    lying = with_words(made, f'case "$*" in *--host*) {{restic}} "$@"; exit {code};; esac')

    outcome = backup(lying, source={"allowUnreadable": lenient})

    assert not outcome.result["ok"]
    assert outcome.code in {1, 75}
    assert len(made.snapshots()) == 1
    assert records(made) == []


SUMMARY = json.dumps(
    {
        "message_type": "summary",
        "snapshot_id": "5" * 64,
        "total_files_processed": 3,
        "total_bytes_processed": 5500,
    }
)


@pytest.mark.parametrize("which", ["policy=", "--stdin"])
def test_a_snapshot_that_no_listing_shows_is_not_believed(made: Depot, which: str) -> None:
    lying = with_words(made, f"case \"$*\" in *{which}*) echo '{SUMMARY}'; exit 0;; esac")

    outcome = backup(lying)

    assert (outcome.code, outcome.reason) == (1, "Failed"), outcome
    assert "not listed" in outcome.result["message"]
    assert records(made) == []
    stored(made)


def test_numbers_that_differ_from_what_was_read_are_not_believed(made: Depot) -> None:
    change = 's/"total_bytes_processed":[0-9]*/"total_bytes_processed":7/'
    lying = with_words(
        made, f'case "$*" in *policy=*) {{restic}} "$@" | sed \'{change}\'; exit 0;; esac'
    )

    outcome = backup(lying)

    assert (outcome.code, outcome.reason) == (1, "Failed"), outcome
    assert "7" in outcome.result["message"]
    assert records(made) == []


def test_no_words_and_no_snapshot_are_no_success(made: Depot) -> None:
    outcome = backup(with_words(made, 'case "$*" in *policy=*) exit 0;; esac'))

    assert (outcome.code, outcome.reason) == (1, "Failed"), outcome
    assert records(made) == []
