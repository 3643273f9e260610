"""Exclude patterns mean what they mean to rsync."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from backstay.agent.exclude import compile_excludes
from backstay.domain.errors import UserError

PATTERNS = (
    r"cache/ *.tmp /top a/b a/**/z **/deep f?o [ab].txt [!ab].log x\*y /sub/cache * /* a* sub/**"
)
PATHS = (
    "cache/x sub/cache/y note.tmp sub/note.tmp top sub/top a/b q/a/b a/c/d/z p/deep foo fooo a.txt"
    " c.txt a.log c.log x*y xzy ab/cd sub/one/two"
)


@pytest.mark.parametrize("pattern", PATTERNS.split())
def test_what_is_left_out_is_what_rsync_leaves_out(pattern: str, tmp_path: Path) -> None:
    if shutil.which("rsync") is None:
        pytest.skip("rsync is installed by the tests of rolling copies, as root")
    for name in PATHS.split():
        path = tmp_path / "s" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    words = ["rsync", "-r", f"--exclude={pattern}", f"{tmp_path}/s/", f"{tmp_path}/d/"]
    subprocess.run(words, check=True)
    wanted = {str(p.relative_to(tmp_path / "d")) for p in (tmp_path / "d").rglob("*")}

    excluded = compile_excludes([pattern])
    assert excluded is not None
    found = set()
    todo = [tmp_path / "s"]
    while todo:
        for path in todo.pop().iterdir():
            name = str(path.relative_to(tmp_path / "s"))
            if not excluded(name.encode(), path.is_dir()):
                found.add(name)
                todo += [path] if path.is_dir() else []
    assert found == wanted


@pytest.mark.parametrize("pattern", ["", "/", "[ab"])
def test_a_pattern_that_means_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(UserError, match=r"spec\.rolling\.exclude"):
        compile_excludes([pattern])


def test_no_patterns_leave_nothing_out() -> None:
    assert compile_excludes([]) is None
