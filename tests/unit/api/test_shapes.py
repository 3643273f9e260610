"""Forms of text, as pydantic checks them; tests/api asks the API server the same questions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from backstay.api.common import Duration
from backstay.api.shapes import (
    Cron,
    DatabaseName,
    FilePath,
    LabelKey,
    LabelName,
    LabelValue,
    ObjectName,
    ZoneName,
)
from backstay.durations import parse_duration

GOOD: list[tuple[Any, str]] = [
    (Cron, "32 0 * * *"),
    (Cron, "*/15 8-18 * * mon-fri"),
    (Cron, "@daily"),
    (Cron, "0 3  * * 0"),
    (ZoneName, "UTC"),
    (ZoneName, "Europe/Vienna"),
    (ZoneName, "America/Argentina/Buenos_Aires"),
    (ZoneName, "Etc/GMT+5"),
    (ObjectName, "data-pg-0"),
    (ObjectName, "a.b-c.d"),
    (ObjectName, "0"),
    (LabelName, "postgres"),
    (LabelKey, "app"),
    (LabelKey, "example.com/App_name.x"),
    (LabelValue, ""),
    (LabelValue, "v1.2_3"),
    (FilePath, "/shop.dump"),
    (FilePath, "/var/lib/postgresql/data/backstay/shop.dump"),
    (FilePath, "/data/.hidden/..x/a b"),
    (FilePath, "/data/.a/x.."),
    (DatabaseName, "shop"),
    (DatabaseName, "My Shop=2/3"),
    (Duration, "90s"),
    (Duration, "1h30m"),
    (Duration, "999d9999h99999m999999s"),
]

BAD: list[tuple[Any, str]] = [
    (Cron, "0 32 0 * * *"),
    (Cron, "32 0 * *"),
    (Cron, "@reboot"),
    (Cron, "@every 5m 1 2 3"),
    (Cron, " 32 0 * * *"),
    (Cron, ""),
    (ZoneName, "../../etc/passwd"),
    (ZoneName, "/etc/localtime"),
    (ZoneName, "Europe/"),
    (ZoneName, "+02:00"),
    (ObjectName, "Data"),
    (ObjectName, "-a"),
    (ObjectName, "a."),
    (ObjectName, "a..b"),
    (ObjectName, "a\n"),
    (ObjectName, "a" * 254),
    (LabelName, "a.b"),
    (LabelName, "a" * 64),
    (LabelKey, "a/b/c"),
    (LabelKey, "-app"),
    (LabelValue, "a b"),
    (FilePath, "shop.dump"),
    (FilePath, "/"),
    (FilePath, "/data/"),
    (FilePath, "/data//shop.dump"),
    (FilePath, "/data/../shop.dump"),
    (FilePath, "/data/.."),
    (FilePath, "/data/./shop.dump"),
    (FilePath, "/data/shop\n.dump"),
    (DatabaseName, "shop\n"),
    (DatabaseName, "a" * 64),
    (DatabaseName, ""),
    (Duration, "0s"),
    (Duration, ""),
    (Duration, "1"),
    (Duration, "-1h"),
    (Duration, "1m1h"),
    (Duration, "1.5h"),
    (Duration, "5000d"),
]


@pytest.mark.parametrize(("form", "text"), GOOD)
def test_a_text_of_the_right_form_is_accepted(form: Any, text: str) -> None:
    TypeAdapter(form).validate_python(text)


@pytest.mark.parametrize(("form", "text"), BAD)
def test_a_text_of_another_form_is_refused(form: Any, text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(form).validate_python(text)


def test_the_message_says_what_the_form_is() -> None:
    with pytest.raises(ValidationError, match="'0 32 0 \\* \\* \\*': must have five fields"):
        TypeAdapter(Cron).validate_python("0 32 0 * * *")


@settings(max_examples=25)
@given(st.from_regex(r"([0-9]{1,3}d)?([0-9]{1,4}h)?([0-9]{1,5}m)?([0-9]{1,6}s)", fullmatch=True))
def test_every_duration_that_the_api_server_lets_in_can_be_read_and_written(text: str) -> None:
    """The pattern is that of the CEL rule on durations."""
    adapter: TypeAdapter[Any] = TypeAdapter(Duration)
    value = parse_duration(text)
    if value:
        assert adapter.validate_python(adapter.dump_python(adapter.validate_python(text))) == value
