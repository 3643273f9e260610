"""How dumps are written, in words, also where a record is from before that was recorded."""

import pytest

from backstay.domain.retention.forms import form_of


@pytest.mark.parametrize(
    ("format", "compression", "compressed", "form"),
    [
        ("sql", "zstd", True, "sql, compressed"),
        ("sql", "none", False, "sql"),
        ("custom", "none", True, "custom, compressed"),
        ("custom", "none", False, "custom"),
        ("archive", "gzip", True, "archive, compressed"),
        ("rdb", "none", False, "rdb"),
        # From before `compressed` was recorded: archives were compressed inside.
        ("sql", "gzip", None, "sql, compressed"),
        ("sql", "none", None, "sql"),
        ("custom", "none", None, "custom, compressed"),
        ("archive", "none", None, "archive, compressed"),
        ("file", "none", None, "file"),
        (None, None, None, ""),
    ],
)
def test_a_dump_of_today_and_one_of_before_have_the_same_form(
    format: str | None, compression: str | None, compressed: bool | None, form: str
) -> None:
    assert form_of(format, compression, compressed) == form
