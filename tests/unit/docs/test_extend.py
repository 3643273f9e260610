"""docs/how-to/extend.md names places that exist, and words that stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CODE = ROOT / "operator/src/backstay"
GUIDE = (ROOT / "docs/how-to/extend.md").read_text(encoding="utf-8")
PLACE = re.compile(r"`([\w./-]+(?:/|\.py|\.sh|\.md))`")
NAMED = re.compile(r"`([\w./-]+\.py)` \(`([\w.]+)`")


def place(path: str) -> Path:
    elsewhere = path.startswith(("docs/", "tests/", "crds/", "operator/"))
    return (ROOT if elsewhere else CODE) / path


@pytest.mark.parametrize("path", sorted(set(PLACE.findall(GUIDE))))
def test_a_place_that_the_guide_names_exists(path: str) -> None:
    assert place(path).exists()


@pytest.mark.parametrize(("path", "name"), NAMED.findall(GUIDE))
def test_what_the_guide_names_in_a_file_is_there(path: str, name: str) -> None:
    text = place(path).read_text(encoding="utf-8")
    for part in name.split("."):
        assert re.search(rf"\b{part}\b", text), part


def test_the_guide_names_places() -> None:
    assert len(PLACE.findall(GUIDE)) > 30
    assert len(NAMED.findall(GUIDE)) > 4
