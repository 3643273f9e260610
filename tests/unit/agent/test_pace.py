"""A rate that processes share."""

from __future__ import annotations

import time

from backstay.agent.fs.parallel import spread
from backstay.agent.fs.throttle import Pace

MEBI = 1 << 20


def test_processes_keep_below_the_rate_together() -> None:
    pace = Pace(10 * MEBI)
    began = time.monotonic()
    assert sum(1 for _ in spread(lambda _: pace(MEBI // 4), range(16), 4)) == 16
    assert time.monotonic() - began >= 0.4


def test_no_rate_is_no_wait() -> None:
    pace = Pace(0)
    began = time.monotonic()
    for _ in range(100):
        pace(1 << 40)
    assert time.monotonic() - began < 60


def test_time_without_writes_is_not_caught_up_with() -> None:
    pace = Pace(10 * MEBI)
    pace(1)
    time.sleep(0.2)
    began = time.monotonic()
    pace(MEBI)
    assert time.monotonic() - began >= 0.1
