"""What a pass says of contents, and of the records of finished runs."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.support.builders import content, snapshot

from backstay.domain.records.lifecycle import RecordSeen, records_to_remove
from backstay.domain.stores.snapshots import content as mirror

TODAY = "2026-11-22T00:32:00Z"


def test_the_handle_of_a_content_is_read_also_where_it_was_given() -> None:
    given = content(snapshot("a", TODAY), swept="uid-a.2026-11-20")
    del given["status"]
    given["spec"]["source"] = {"snapshotHandle": "h1"}

    read = mirror.content_of(given)

    assert (read.handle, read.swept, read.ref_uid) == ("h1", "uid-a.2026-11-20", "uid-a")


def finished(name: str, hour: int, *, promised: bool, artifacts: bool) -> RecordSeen:
    return RecordSeen(name, datetime(2026, 11, 22, hour, tzinfo=UTC), promised, artifacts)


def test_a_record_goes_with_its_last_artifact_and_empty_ones_by_number() -> None:
    records = [
        finished("kept", 1, promised=True, artifacts=True),
        finished("gone", 2, promised=True, artifacts=False),
        finished("empty-old", 3, promised=False, artifacts=False),
        finished("empty-mid", 4, promised=False, artifacts=False),
        finished("empty-new", 5, promised=False, artifacts=False),
        finished("found", 6, promised=False, artifacts=True),
    ]

    assert records_to_remove(records, 2) == ["gone", "empty-old"]
    assert records_to_remove(records, 0) == [
        "gone",
        "empty-new",
        "empty-mid",
        "empty-old",
    ]
    assert records_to_remove([], 0) == []
