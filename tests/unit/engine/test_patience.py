"""Patience with what is refused, on virtual time."""

from __future__ import annotations

from datetime import timedelta

from tests.support.clock import VirtualClock

from backstay.engine.patience import Patience

LIMIT = timedelta(seconds=20)


def test_patience_is_over_when_a_refusal_has_stood_for_its_limit() -> None:
    clock = VirtualClock()
    patience = Patience(clock, LIMIT)

    assert patience.left("a") is None
    assert not patience.is_over("a")
    clock.stall(15)
    assert not patience.is_over("a")
    assert patience.left("a") == timedelta(seconds=5)
    clock.stall(5)
    assert patience.is_over("a")
    assert patience.left("a") is None


def test_keys_are_refused_each_for_itself_and_start_over_once_forgotten() -> None:
    clock = VirtualClock()
    patience = Patience(clock, LIMIT)
    assert not patience.is_over("a")
    clock.stall(20)

    assert not patience.is_over("b")
    assert patience.is_over("a")
    patience.forget("a")
    assert not patience.is_over("a")
