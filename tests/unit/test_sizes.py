"""How long files and functions may be, and how many comments say why where orders matter."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import backstay

ROOT = Path(backstay.__file__).parent
FILE_MAX, FUNCTION_MAX = 300, 40
COMMENTS = 3
"""Per 100 lines of a package whose orders a newcomer could break."""
REASON = re.compile(r"^\s*Long because .", re.MULTILINE)
"""What a docstring has of a file or function that is one thing, and longer all the same."""
NOT_PROSE = re.compile(r"#\s*(noqa|type:|ruff:)")


def has_reason(node: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return REASON.search(ast.get_docstring(node) or "") is not None


def long_file(source: str) -> bool:
    return len(source.splitlines()) > FILE_MAX and not has_reason(ast.parse(source))


def long_functions(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > FUNCTION_MAX and not has_reason(node):
            yield node.name


def comments_in(source: str) -> int:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = (token.string for token in tokens if token.type == tokenize.COMMENT)
    return sum(NOT_PROSE.match(comment) is None for comment in comments)


def sources(package: str = "") -> dict[str, str]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found
    return {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in found}


def test_a_file_is_one_concept_or_says_why_it_is_longer() -> None:
    assert [name for name, source in sources().items() if long_file(source)] == []


def test_a_function_is_one_step_or_says_why_it_is_longer() -> None:
    found = {
        f"{name} {function}"
        for name, source in sources().items()
        for function in long_functions(source)
    }
    assert found == set()


@pytest.mark.parametrize("package", ["reconcile", "steps", "stores"])
def test_comments_say_why_where_orders_matter(package: str) -> None:
    texts = sources(package).values()
    lines = sum(len(text.splitlines()) for text in texts)
    assert 100 * sum(map(comments_in, texts)) >= COMMENTS * lines


@pytest.mark.parametrize(
    ("lines", "docstring", "found"),
    [
        (FUNCTION_MAX, "", []),
        (FUNCTION_MAX + 1, "", ["f"]),
        (FUNCTION_MAX + 1, "Take as long as it takes.", ["f"]),
        (FUNCTION_MAX + 1, "Do it.\n\n    Long because each call costs.", []),
    ],
)
def test_a_long_function_is_found_unless_it_says_why(
    lines: int, docstring: str, found: list[str]
) -> None:
    head = ["async def f():", *(f'    """{docstring}"""'.splitlines() if docstring else [])]
    source = "\n".join([*head, *["    x = 1"] * (lines - len(head))])
    assert list(long_functions(source)) == found


@pytest.mark.parametrize(
    ("lines", "docstring", "found"),
    [
        (FILE_MAX, "", False),
        (FILE_MAX + 1, "", True),
        (FILE_MAX + 1, "All that takes long.", True),
        (FILE_MAX + 1, "All rules.\n\nLong because they are one table.", False),
    ],
)
def test_a_long_file_is_found_unless_it_says_why(lines: int, docstring: str, found: bool) -> None:
    head = f'"""{docstring}"""'.splitlines() if docstring else []
    assert long_file("\n".join([*head, *["x = 1"] * (lines - len(head))])) is found


def test_what_steers_tools_is_no_comment() -> None:
    text = "x = '# no'  # noqa: E501\ny = 1  # type: ignore[x]\n# So that.\nz = 1  # As it is.\n"
    assert comments_in(text) == 2
