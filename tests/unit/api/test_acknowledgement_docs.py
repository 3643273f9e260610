"""The guide has every value of spec.acknowledge, with the meaning that the API gives it."""

from __future__ import annotations

from pathlib import Path

import pytest

from backstay.api.acknowledgement import MEANINGS, Acknowledgement

GUIDE = Path(__file__).resolve().parents[3] / "docs/how-to/rolling-copies.md"


@pytest.mark.parametrize("word", list(Acknowledgement))
def test_a_word_is_described_in_the_guide(word: Acknowledgement) -> None:
    assert f"| `{word}` | {MEANINGS[word]} |" in GUIDE.read_text(encoding="utf-8").splitlines()
