"""The check of words: what it finds, what it passes, and that the repository passes."""

from __future__ import annotations

import pytest
from hack.words import findings, main


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("It is told once.", "told"),
        ("def _told_of(point):", "told"),
        ("eventTeller = tellHook", "teller"),
        ("LONGEST_TOLD: Final = 3", "told"),
        ("# what they hold is let\n    # go in the end", "let go"),
        ("which lets one go at a time", "lets one go"),
        ("whatever\nbecomes of it", "whatever becomes of"),
        ("absent or no word of ours", "word of"),
        ("made anew", "anew"),
        ("def dress_one():", "dress"),
        ("struck off the list", "struck"),
        ("whose snapshot is cut", "cut"),
        ("spec.snapshot.cutTimeout", "cut"),
    ],
)
def test_a_banned_word_is_found_in_prose_and_in_names(text: str, word: str) -> None:
    assert [finding.word for finding in findings(text)][:1] == [word]


@pytest.mark.parametrize(
    "text",
    [
        "an intelligent address, a renewal, a passwordofours",
        "position = file.tell()",
        "a value of spec.acknowledge lets it go on",
        "letGoverning = true",
        "tr a b | cut -d: -f1",
        "a shortcut, the cutoff",
    ],
)
def test_words_that_only_look_alike_pass(text: str) -> None:
    assert not list(findings(text))


def test_a_finding_names_its_line_and_what_to_write() -> None:
    (found,) = findings("first\nsecond\nmade anew\n")

    assert (found.line, found.word) == (3, "anew")
    assert "recreate" in found.instead


def test_the_repository_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0, capsys.readouterr().out
