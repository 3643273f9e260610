"""Lengths of time in words. Below every layer: settings, the agent's rules and the API use them."""

import re
from datetime import timedelta

_DURATION = re.compile(r"(?=.)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)


def format_duration(value: timedelta) -> str:
    """Given a duration, return its form in whole seconds, such as `1h30m` or `0s`."""
    rest = int(value.total_seconds())
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_duration(text: str) -> timedelta:
    """Given a duration such as `90s`, `10m`, `1h30m` or `2d`, return it.

    Raise ValueError if it is not of that form or longer than 10 years.
    """
    match = _DURATION.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not a duration such as 90s, 10m, 1h30m or 2d")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    if days + hours // 24 + minutes // 1440 + seconds // 86400 > 3660:
        raise ValueError(f"{text!r} is longer than 10 years")
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
