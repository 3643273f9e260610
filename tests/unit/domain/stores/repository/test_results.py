"""From what an upload's Job answers to the point that a Backup shows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.repository_looks import ID, spec

from backstay.api.point import PointResult
from backstay.api.repository_store import PlannedRepository, Repository
from backstay.domain.errors import DataError
from backstay.domain.stores.copies.agent_result import AgentResult
from backstay.domain.stores.repository.results import Asked, failure, stored_point

DATA, RECORD, TREE = "d" * 64, "e" * 64, "f" * 64
ASKED = Asked("data", "offsite", ID, {"backstay.dev/result": "good"}, {"backstay.dev/run": "u"})
ANSWER = {
    "id": ID,
    "data": DATA,
    "record": RECORD,
    "tree": TREE,
    "time": "2026-11-22T00:32:05+00:00",
    "files": 3,
    "bytes": 2048,
    "added": 512,
    "seconds": 7.4,
    "unreadable": 0,
    "examples": [],
}


def result(**values: Any) -> AgentResult:
    raw = {key: value for key, value in (ANSWER | values).items() if value is not None}
    return AgentResult(True, "Stored", "3 files are stored", raw)


def test_a_point_names_repository_data_record_and_tree() -> None:
    point = stored_point(result(), ASKED)

    assert point is not None
    assert (point.source, point.store, point.ref) == ("data", "Repository", DATA[:8])
    assert (point.result, point.message) == (PointResult.GOOD, None)
    assert point.taken_at == datetime(2026, 11, 22, 0, 32, 5, tzinfo=UTC)
    stored = point.stored
    assert stored is not None
    assert (stored.repository, stored.id) == ("offsite", ID)
    assert (stored.data, stored.record, stored.tree) == (DATA, RECORD, TREE)
    assert (stored.files, point.bytes, stored.new_bytes, stored.seconds) == (3, 2048, 512, 7)
    assert stored.labels == {"backstay.dev/result": "good"}


def test_what_could_not_be_read_is_named() -> None:
    point = stored_point(result(unreadable=3, examples=["a", "b"]), ASKED)
    assert point is not None
    assert point.unreadable == 3
    assert point.message == "3 files could not be read and are missing: a, b, ..."


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("data", None, "data: expected the ID"),
        ("data", DATA[:8], "data: expected the ID"),
        ("record", "../" + RECORD[3:], "record: expected the ID"),
        ("tree", 1, "tree: expected the ID"),
        ("id", None, "id: expected the ID"),
        ("id", "0" * 64, "another repository (00000000)"),
        ("time", None, "is not an RFC 3339 time"),
        ("bytes", -1, "bytes"),
    ],
)
def test_an_answer_that_is_no_point_is_refused_by_its_field(
    field: str, value: object, words: str
) -> None:
    with pytest.raises(DataError) as error:
        stored_point(result(**{field: value}), ASKED)
    assert words in error.value.message


def test_a_run_that_was_planned_before_the_repository_was_known_takes_its_id() -> None:
    asked = Asked("data", "offsite", None, {}, {})
    point = stored_point(result(), asked)
    assert point is not None
    assert point.stored is not None
    assert point.stored.id == ID


def test_a_failure_has_its_reason_the_words_and_what_to_do_about_it() -> None:
    said = AgentResult(False, "WrongPassword", "RESTIC_PASSWORD opens no key.", {})
    planned = PlannedRepository(copies=(), settings=Repository(name="offsite"), id=ID)
    assert failure(said, planned, spec()) == (
        "WrongPassword: RESTIC_PASSWORD opens no key; BackupRepository offsite: the Secret is s3"
    )
    assert failure(said, planned, None) == "WrongPassword: RESTIC_PASSWORD opens no key"
    changed = AgentResult(False, "DumpChanged", "dump all was replaced", {})
    assert failure(changed, planned, spec()) == "DumpChanged: dump all was replaced"
