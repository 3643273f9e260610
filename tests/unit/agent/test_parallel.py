"""Work in several processes: all of it is done, or the call ends with what went wrong."""

from __future__ import annotations

import os
import signal

import pytest

from backstay.agent.fs.parallel import apart, spread
from backstay.domain.errors import DataError, UserError

PROCESSES = 4
LARGE = 1 << 18  # more than a pipe takes


def test_every_unit_is_answered_once() -> None:
    assert sorted(spread(lambda unit: unit * unit, range(500), PROCESSES)) == [
        unit * unit for unit in range(500)
    ]


@pytest.mark.parametrize(
    ("length", "ordered"),
    [
        (0, []),
        (3, [0, 1, 2]),
        (5, [0, 2, 4, 1, 3]),
        (8, [0, 2, 4, 6, 1, 3, 5, 7]),
    ],
)
def test_processes_that_work_apart_begin_in_parts_of_their_own(
    length: int, ordered: list[int]
) -> None:
    assert apart(range(length), PROCESSES) == ordered


@pytest.mark.parametrize("attempt", range(10))
def test_an_error_ends_the_call_while_others_have_much_to_say(attempt: int) -> None:
    def work(unit: int) -> bytes:
        if unit == 20 + attempt:
            raise UserError("NoRoom", f"unit {unit}")
        return bytes(LARGE)

    with pytest.raises(UserError, match=f"unit {20 + attempt}") as caught:
        list(spread(work, range(200), PROCESSES))
    assert caught.value.reason == "NoRoom"


def test_a_caller_that_wants_no_more_ends_the_call() -> None:
    answers = spread(lambda unit: bytes(LARGE + unit), range(200), PROCESSES)
    next(answers)
    answers.close()


def test_a_process_that_is_killed_ends_the_call_with_the_reason() -> None:
    def work(unit: int) -> int:
        if unit == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        return unit

    with pytest.raises(DataError, match="a process of this run was killed"):
        list(spread(work, range(100), PROCESSES))
