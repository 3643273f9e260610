"""A dump that is smaller because it is written in another way has lost nothing."""

from __future__ import annotations

import pytest
from tests.support.builders import dump_status

from backstay.api.dump_status import DumpStatus
from backstay.domain.run.dump_sizes import smaller_by_form


def dump(form: str, size: int | None, name: str = "shop") -> DumpStatus:
    """`form` is the format, with a plus where it is compressed."""
    format, compressed = form.rstrip("+"), form.endswith("+")
    return dump_status(name, format=format, compressed=compressed, bytes=size)


@pytest.mark.parametrize(
    ("then", "now", "smaller"),
    [
        ([("sql", 500)], [("sql+", 120)], 380),
        ([("plain", 500)], [("custom", 400)], 100),
        # Of its own form it may have lost rows.
        ([("sql", 500)], [("sql", 120)], 0),
        ([("sql+", 120)], [("sql", 500)], 0),
        ([], [("sql+", 120)], 0),
        ([("sql", 500)], [], 0),
        ([("sql", None)], [("sql+", 120)], 0),
    ],
)
def test_only_a_dump_that_is_written_in_another_way_is_rightly_smaller(
    then: list[tuple[str, int | None]], now: list[tuple[str, int | None]], smaller: int
) -> None:
    assert smaller_by_form([dump(*d) for d in then], [dump(*d) for d in now]) == smaller


def test_each_dump_is_held_against_its_own() -> None:
    then = [dump("sql", 500), dump("sql", 90, "logs"), dump("sql", 70, "gone")]
    now = [dump("sql+", 10, "logs"), dump("sql+", 120), dump("sql+", 1, "new")]

    assert smaller_by_form(then, now) == 380 + 80
