"""When our clock is too far from the API server's, and what a brake says of it."""

from datetime import timedelta

import pytest

from backstay.domain.clock_skew import clock_brake


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        (0.0, None),
        (60.0, None),
        (-60.0, None),
        (60.5, "over 60 s ahead of the API server's"),
        (-61.0, "over 60 s behind the API server's"),
        (None, "the API server does not report its time"),
    ],
)
def test_a_clock_that_is_off_is_a_brake(seconds: float | None, says: str | None) -> None:
    brake = clock_brake(None if seconds is None else timedelta(seconds=seconds))

    if says is None:
        assert brake is None
    else:
        assert brake is not None
        assert brake.reason == "ClockSkew"
        assert says in brake.message


def test_the_message_of_the_clock_stays_the_same_while_the_skew_moves() -> None:
    assert clock_brake(timedelta(seconds=100)) == clock_brake(timedelta(seconds=200))
