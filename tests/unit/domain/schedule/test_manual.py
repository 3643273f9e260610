"""A run for each value that a person sets, ever."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from backstay.api.policy import PolicySpec
from backstay.api.policy_status import TOKEN_MAX, ManualRun, PolicyStatus
from backstay.domain import naming
from backstay.domain.policy import decide
from backstay.domain.schedule.manual import refusal
from backstay.domain.schedule.policy_seen import RunSeen, Seen

NOW = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
SPEC = PolicySpec.model_validate({"source": {"claims": {"names": ["data"]}}, "suspend": True})
ONE, OTHER = "a", "b"
NAME = naming.manual_name("shop", ONE)


def seen(token: str = ONE, **values: Any) -> Seen:
    status = values.pop("status", PolicyStatus())
    return Seen(NOW, NOW, 1, status, SPEC, None, namespace="t", name="shop", token=token, **values)


def run(*, token: str = ONE, complete: bool = True) -> RunSeen:
    return RunSeen(NAME, None, finished=True, started=NOW, complete=complete, token=token)


def test_a_value_makes_one_run_also_of_a_suspended_policy() -> None:
    first = decide(seen())
    assert first.asked
    assert first.status.manual == ManualRun(token=ONE, backup=NAME)
    assert first.status.last_manual_run is None

    again = decide(seen(status=first.status))
    assert not again.asked
    other = decide(seen(OTHER, status=first.status))
    assert other.asked
    assert other.status.manual is not None
    assert other.status.manual.backup == naming.manual_name("shop", OTHER) != NAME


def test_the_value_is_repeated_when_its_run_is_completed() -> None:
    asked = decide(seen()).status

    failed = decide(seen(status=asked, runs=[run(complete=False)]))
    assert failed.status.last_manual_run is None
    done = decide(seen(status=asked, runs=[run()]))
    assert (done.asked, done.status.last_manual_run) == (False, ONE)
    # and it stays so when its record is gone, while another value is under way
    gone = decide(replace(seen(OTHER), status=done.status))
    assert (gone.asked, gone.status.last_manual_run) == (True, ONE)


def test_a_backup_of_that_name_that_nobody_asked_for_is_none() -> None:
    asked = decide(seen()).status

    assert decide(seen(status=asked, runs=[run(token="")])).status.last_manual_run is None


@pytest.mark.parametrize("token", ["", "x" * (TOKEN_MAX + 1)])
def test_no_value_and_one_that_is_too_long_ask_for_nothing(token: str) -> None:
    decision = decide(seen(token))

    assert not decision.asked
    assert decision.status.manual is None
    assert bool(refusal(seen(token))) is bool(token)
    assert f"{TOKEN_MAX}" in refusal(seen(token)) or not token


def test_taking_the_value_away_and_setting_it_again_asks_for_nothing() -> None:
    asked = decide(seen()).status
    without = decide(seen("", status=asked)).status

    assert not decide(seen(status=without)).asked
