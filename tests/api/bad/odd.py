"""Values that one reader takes and another does not: near to good, at limits, and absurd."""

from __future__ import annotations

from typing import Any, Final

TIMES: Final = (
    "2030-12-31T23:59:59Z", "2030-12-31t23:59:59z", "2030-12-31T23:59:59z", "2030-12-31 23:59:59Z",
    "2030-12-31T23:59:59", "2030-12-31T23:59:60Z", "2030-12-31T24:00:00Z", "2030-02-30T00:00:00Z",
    "2028-02-29T00:00:00Z", "2030-02-29T00:00:00Z", "2030-13-01T00:00:00Z", "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00", "0001-01-03T00:00:00Z", "9999-12-30T23:59:59-14:00",
    "9999-12-31T23:59:59-14:00", "2030-12-31T23:59:59.123456789Z",
    "2030-12-31T23:59:59.1234567890Z",
    "2030-12-31T23:59:59,5Z", "2030-12-31T23:59:59.Z", "2030-12-31T23:59:59+0100",
    "2030-12-31T23:59:59+01:60", "2030-12-31T23:59:59+24:00", "2030-12-31T23:59:59-00:00",
    "2030-12-31T23:59:59+23:59", "2030-12-31T23:59Z", "20301231T235959Z", "2030-W01-1T00:00:00Z",
    "2030-12-31", "2030-12-31T23:59:59Z ", "\uff12\uff10\uff13\uff10-12-31T23:59:59Z",
    "+2030-12-31T23:59:59Z", "12030-12-31T23:59:59Z", "2030-1-1T1:1:1Z",
)  # fmt: skip
DURATIONS: Final = (
    "0h90m", "00h090m", "90M", "1H", "1h 30m", "1.5h", "-1h", "+1h", "1d1d", "1m1h", "0s", "0d0h1s",
    "999d", "999d9999h99999m999999s", "1000d", "9999h", "1w", "1h\n", "\u0661h", "1",
)  # fmt: skip
SIZES: Final = (
    "0", "00", "0Ki", "01Gi", "64MI", "64mi", "1e3", "1.5Gi", "-1Gi", "99999Ti", "100000",
    "1K", "1k",
    "1Gi\n", "\uff11Gi", "999999999999Ti", "1000000000000", "1Ki", 0, 64,
)  # fmt: skip
CRONS: Final = (
    "0 2 * * *", "00 02 * * *", "0  2 * * *", " 0 2 * * *", "0 2 * * * ", "0\t2 * * *",
    "0\n2 * * *",
    "0\u00a02 * * *", "@Daily", "@daily ", "@reboot", "* * * * MON#1", "60 0 * * *", "0 0 30 2 *",
    "? ? ? ? ?", "a b c d e", "0 0 L * *", "0 0 * * L", "*/0 * * * *", "0 0 * * \uff16",
    "0 0 * * \u00b2", "\u00e9 \u00e9 \u00e9 \u00e9 \u00e9", "0 0 * * \u00df",
    "0," * 40 + "0 1 * * *",
    "0 0 L/2 * *", "0 0 LW,5 * 5#5", "-1 * * * *", "1-/2 * * * *", ",,, * * * *", "0 0 29 2 1#5",
)  # fmt: skip
ZONES: Final = (
    "UTC", "utc", "Europe/Kiev", "europe/vienna", "Etc/GMT+5", "posix/UTC", "right/UTC",
    "localtime",
    "Factory", "posixrules", "EST5EDT", "A", "Europe", "Europe/", "/UTC", "Europe//Vienna",
    "zone.tab", "x" * 64, "\u00dcnited", "leapseconds", "A/../UTC",
)  # fmt: skip
NAMES: Final = (
    "a", "a.b", "a..b", "A", "a_b", "-a", "a-", "a" * 63, "a" * 64, "a" * 253, "a" * 254,
    "a\n", "1",
)  # fmt: skip
PATHS: Final = (
    "/a", "/a/", "/a//b", "/a/./b", "/a/../b", "/", "/a b", "/\u200b", "/a\tb", "/a\nb",
    "/..a", "/.",
    "/a\u0085b", "/a\u2028b", "/a\x7fb", "/" + "a" * 1023, "/" + "\u00e9" * 600, "a/b", "../a",
)  # fmt: skip
TEXTS: Final[tuple[Any, ...]] = (
    "", "x", " ", "\u00e9", "a\x00b", "a\nb", "\u202e", "\x7f", "\u0085", "\U0001f600" * 63,
    "x" * 64, "x" * 256, "\u00e9" * 128, "\u00e9" * 4096, "x" * 4097, None, 3, [], {}, True,
)  # fmt: skip
NUMBERS: Final = (
    0, 1, -1, 7, 366, 1000, 3660, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 1.0, 1.5, 1e3, 10**12, 10**15,
    "7", True, None,
)  # fmt: skip
FLAGS: Final = (True, False, "true", 0, None)
PARTS: Final[tuple[Any, ...]] = ({}, [], None, "x", [None], [{}])
"""Where an object or a list is expected."""


def odd_for(value: Any) -> tuple[Any, ...]:
    """Given a good value, return what to put in its place."""
    if isinstance(value, dict | list):
        return PARTS
    if isinstance(value, bool):
        return FLAGS
    if isinstance(value, int):
        return NUMBERS
    return (*TIMES, *DURATIONS, *SIZES, *CRONS, *ZONES, *NAMES, *PATHS, *TEXTS)
