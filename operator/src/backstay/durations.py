"""Lengths of time in words. Below every layer: the agent's rules and the API both write them."""

from datetime import timedelta


def format_duration(value: timedelta) -> str:
    """Given a duration, return its form in whole seconds, such as `1h30m` or `0s`."""
    rest = int(value.total_seconds())
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
