"""An answer fits into a termination message, whatever names are in it, and keeps its reason."""

from __future__ import annotations

import json

import pytest

from backstay.agent.results import LIMIT, answer, examples, text_of


@pytest.mark.parametrize("letter", ["x", "\udcff", "\U0001f600", "\\", '"', "\n"])
@pytest.mark.parametrize("length", [10, 500, 5000, 100_000])
def test_the_message_is_shortened_at_its_end_and_begins_with_the_reason(
    letter: str, length: int
) -> None:
    notes = {"vanished": examples([letter.encode("utf-8", "surrogateescape") * 300] * 9)}
    message = f"Input/output error (pread) at {letter * length}"
    text = text_of({"verb": "copy", **answer("Failed", message, ok=False, notes=notes)})

    assert len(text) <= LIMIT
    found = json.loads(text)
    assert found["message"].startswith("Input/output error (pread) at ")
    assert (found["ok"], found["reason"]) == (False, "Failed")


def test_points_are_dropped_from_the_end_and_that_is_said() -> None:
    points = [{"stamp": f"{number:018}", "outcome": "done"} for number in range(500)]
    found = json.loads(text_of({"verb": "prune", **answer("Done", "500 points", points=points)}))
    assert found["truncated"]
    assert found["points"] == points[: len(found["points"])]
