"""What restic says: passed on, kept, counted, and acted on where it repeats itself in vain."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.agent.restic.redaction import Redaction
from backstay.agent.restic.said import KEPT, PATIENCE, Said, json_objects

DENIED = "Save(<data/b1>) returned error, retrying after 1s: client.PutObject: Access Denied."
AWAY = "Save(<data/b1>) returned error, retrying after 1s: dial tcp: connection refused"
WORKED = "Save(<data/b1>) operation successful after 3 retries"


def read(lines: Iterable[str | dict[str, object]], **how: object) -> Said:
    said = Said(Redaction({"RESTIC_PASSWORD": "correct-horse"}), **how)  # type: ignore[arg-type]
    text = "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines)
    said.read(io.BytesIO(text.encode()))
    return said


def test_words_go_to_the_log_and_what_it_ended_with_comes_last(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = read(
        [
            "one correct-horse",
            "",
            {"message_type": "exit_error", "code": 12, "message": "not correct-horse"},
            "two",
        ]
    )
    assert said.all() == ["one [RESTIC_PASSWORD]", "two", "not [RESTIC_PASSWORD]"]
    assert capsys.readouterr().err == "restic: one [RESTIC_PASSWORD]\nrestic: two\n"


def test_the_last_lines_are_kept_however_many_there_are() -> None:
    said = read(f"line {number}" for number in range(KEPT + 10))
    assert len(said.all()) == KEPT
    assert said.all()[-1] == f"line {KEPT + 9}"


def test_entries_that_cannot_be_read_are_noted_once_by_who_reads_them() -> None:
    noted: list[tuple[str, str]] = []
    error = {"message": "open /data/a: permission denied"}
    said = read(
        [
            {"message_type": "error", "error": error, "during": "scan", "item": "/data/a"},
            {"message_type": "error", "error": error, "during": "archival", "item": "/data/a"},
        ],
        on_error=lambda *found: noted.append(found),
    )
    assert noted == [("/data/a", "open /data/a: permission denied")]
    assert said.all() == []


@pytest.mark.parametrize(
    ("lines", "ended"),
    [
        ([DENIED] * (PATIENCE - 1), 0),
        ([DENIED] * PATIENCE, 1),
        ([DENIED] * (PATIENCE * 3), 1),
        ([AWAY] * 1000, 0),
        ([*[DENIED] * (PATIENCE - 1), WORKED, *[DENIED] * (PATIENCE - 1)], 0),
        ([DENIED, AWAY] * PATIENCE, 1),
        (["Access Denied."] * 1000, 0),
    ],
)
def test_it_is_ended_once_when_it_repeats_what_cannot_work(lines: list[str], ended: int) -> None:
    calls: list[int] = []
    read(lines, on_hopeless=lambda: calls.append(1))
    assert len(calls) == ended


@given(
    st.lists(
        st.dictionaries(st.text(max_size=5), st.integers(), min_size=1, max_size=3), max_size=9
    ),
    st.data(),
)
def test_objects_are_found_however_the_output_comes(
    objects: list[dict[str, int]], data: st.DataObject
) -> None:
    text = "".join(f"{json.dumps(one)}\nwords\n[1]\n" for one in objects).encode()
    pieces = []
    while text:
        length = data.draw(st.integers(1, len(text)))
        pieces.append(text[:length])
        text = text[length:]
    assert list(json_objects(iter(pieces))) == objects
