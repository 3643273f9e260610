"""What a policy leaves open of its dumps is decided when a run is planned."""

from __future__ import annotations

from typing import Any

import pytest

from backstay.api.dumps import Dump
from backstay.domain.run.planned_dumps import planned_dump

TARGET = {"kind": "StatefulSet", "name": "pg", "container": "pg"}


def dump(engine: str, **values: Any) -> Dump:
    specs: dict[str, Any] = {"sqlite": {"database": "/app.db"}, "command": {"argv": ["tool"]}}
    return Dump.model_validate(
        {"name": "shop", "target": TARGET, "file": "/data/shop.dump", engine: specs.get(engine, {})}
        | values
    )


@pytest.mark.parametrize(
    ("engine", "alone", "in_repository"),
    [
        ("postgres", True, False),
        ("mysql", True, False),
        ("mongodb", True, False),
        ("redis", False, False),
        ("sqlite", False, False),
        ("command", False, False),
    ],
)
def test_a_dump_is_compressed_unless_a_repository_is_to_find_in_it_what_it_has(
    engine: str, *, alone: bool, in_repository: bool
) -> None:
    assert planned_dump(dump(engine), repository=False).compress is alone
    assert planned_dump(dump(engine), repository=True).compress is in_repository


@pytest.mark.parametrize("engine", ["postgres", "mysql", "mongodb", "command"])
@pytest.mark.parametrize("repository", [False, True])
def test_what_a_policy_says_counts_whichever_stores_it_has(
    engine: str, *, repository: bool
) -> None:
    for wanted in (True, False):
        planned = planned_dump(dump(engine, compress=wanted), repository=repository)
        assert planned.compress is wanted


@pytest.mark.parametrize("engine", ["redis", "sqlite"])
def test_files_that_their_tools_write_are_never_compressed(engine: str) -> None:
    assert not planned_dump(dump(engine, compress=True), repository=False).compress


def test_all_else_is_planned_as_the_policy_has_it() -> None:
    of = dump("postgres", minFree="1Gi", maxDuration="2h")
    planned = planned_dump(of, repository=True)
    for name in ("name", "target", "file", "postgres", "max_duration", "min_free"):
        assert getattr(planned, name) == getattr(of, name)
