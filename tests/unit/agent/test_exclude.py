"""Exclude patterns mean what they mean to rsync."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from backstay.agent.tree.exclude import compile_excludes
from backstay.domain.errors import UserError

PATTERNS = (
    r"cache/ *.tmp /top a/b a/**/z **/deep f?o [ab].txt [!ab].log x\*y /sub/cache * /* a* sub/**"
    r" **/top **/cache/ **/*.tmp **/a/b **/c/d **cache ***/top /**/top **/ a**z **/** a[/]b a[/x]b"
    r" **a[/b]* cache/*** cache/***/ /cache/*** sub/c*/*** **/cache/*** /*** *** a\/*** *\***"
    r" [[:digit:]] [![:alpha:]]* [[:punct:][:space:]] [\]] []] []a] [!]a]* [\\] [z-a] [a-] [--a]"
    r" [a-c-e] [[-b] [[:x] [[:] [a\-z] a\b a\\b* [a]\b /a\b *\ a*\/ \* [\a]*"
)
PATHS = (
    "cache/x sub/cache/y note.tmp sub/note.tmp top sub/top a/b q/a/b a/c/d/z p/deep foo fooo a.txt"
    r" c.txt a.log c.log x*y xzy ab/cd sub/one/two 5 sub/7 ] [ - : z b/e a\b sub/a\b axb * \ *x"
)
TOKENS = (
    r"a b x z 5 cache top .tmp / / ? * ** *** \ \* \] [ ] [ab] [!a] [^b] [a-c] [z-a] [] [!] []]"
    r" [!]x] [/a] [--z] [[:digit:]] [[:alpha:]-] [^[:punct:]] [[:none:]] [\]] [\\]"
)

needs_rsync = pytest.mark.skipif(
    shutil.which("rsync") is None,
    reason="rsync is installed by the tests of rolling copies, as root",
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("source")
    for name in PATHS.split():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return source


def left_by_rsync(source: Path, pattern: str) -> set[str]:
    words = ["rsync", "-nr", "--out-format=%n", f"--exclude={pattern}", f"{source}/", "/nowhere/"]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return {name.removesuffix("/") for name in done.stdout.splitlines()} - {".", ""}


def left_by_us(source: Path, pattern: str) -> set[str]:
    excluded = compile_excludes([pattern])
    assert excluded is not None
    found = set()
    todo = [source]
    while todo:
        for path in todo.pop().iterdir():
            name = str(path.relative_to(source))
            if not excluded(name.encode(), path.is_dir()):
                found.add(name)
                todo += [path] if path.is_dir() else []
    return found


@needs_rsync
@pytest.mark.parametrize("pattern", PATTERNS.split())
def test_what_is_left_out_is_what_rsync_leaves_out(pattern: str, source: Path) -> None:
    assert left_by_us(source, pattern) == left_by_rsync(source, pattern)


@needs_rsync
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.lists(st.sampled_from(TOKENS.split()), min_size=1, max_size=6).map("".join))
def test_no_pattern_means_another_thing_than_to_rsync(source: Path, pattern: str) -> None:
    """But those that we refuse, and slashes too many, which we forgive."""
    assume(pattern.strip("/") and not pattern.startswith("//") and not pattern.endswith("//"))
    try:
        ours = left_by_us(source, pattern)
    except UserError:
        assert left_by_rsync(source, pattern) == left_by_rsync(source, "/nothing")
    else:
        assert ours == left_by_rsync(source, pattern)


@pytest.mark.parametrize("pattern", ["", "/", "[ab", "[]", "[!]", "[a-", "[\\", "[[:word:]]"])
def test_a_pattern_that_means_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(UserError, match=r"spec\.rolling\.exclude"):
        compile_excludes([pattern])


def test_no_patterns_leave_nothing_out() -> None:
    assert compile_excludes([]) is None
