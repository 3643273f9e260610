"""No circle in imports: a module can be read, and tested, with what is below it alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import backstay

ROOT = Path(backstay.__file__).parent


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: str, known: frozenset[str]) -> Iterator[str]:
    """The modules of ours that a source imports, wherever it does: late imports hide circles."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        if isinstance(node, ast.ImportFrom) and node.module in known:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in known else node.module


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def test_no_modules_import_each_other() -> None:
    paths = {module_of(path): path for path in ROOT.rglob("*.py")}
    known = frozenset(paths)
    graph = {
        name: set(imports(path.read_text("utf-8"), known)) - {name} for name, path in paths.items()
    }
    assert len(graph) > 200
    assert circle(graph) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from backstay.a import b", {"backstay.a.b"}),
        ("from backstay.a import VALUE", {"backstay.a"}),
        ("def f():\n    import backstay.a", {"backstay.a"}),
        ("import json", set()),
    ],
)
def test_what_a_source_imports_is_found_wherever_it_stands(source: str, found: set[str]) -> None:
    assert set(imports(source, frozenset({"backstay.a", "backstay.a.b"}))) == found


def test_a_circle_is_named() -> None:
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}
