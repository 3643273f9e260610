"""Forms of text that people write, each checked twice with one message.

A Shape is one regular expression, understood alike by Python and by RE2, for the whole text. The
API server checks it by a CEL rule, so that `kubectl apply` answers with our message instead of
with the expression; pydantic checks it again when the operator reads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import (
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

NAME_MAX: Final = 253
"""Length of a DNS-1123 subdomain, the limit of most Kubernetes names."""

LABEL_MAX: Final = 63
"""Length of a DNS-1123 label and of a label's value."""

RULES: Final = "x-kubernetes-validations"
PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
"""Of an object that is passed on as it is: whoever takes it has its schema."""
INT_OR_STRING: Final = "x-kubernetes-int-or-string"
"""Of a quantity: YAML makes a number of one that is written without a unit, as Kubernetes' own
fields allow.
"""


def cel(rule: str, message: str) -> dict[str, str]:
    """Given a CEL rule and its message, return the entry of x-kubernetes-validations."""
    return {"rule": rule, "message": message}


@dataclass(frozen=True, slots=True)
class Shape:
    """The form of a text: what the whole of it must match, and what to say if it does not."""

    pattern: str
    message: str

    def rule(self) -> dict[str, str]:
        """Return the CEL rule that says the same; RE2's `$` is the end of the text."""
        return cel(f"self.matches(r'^{self.pattern}$')", self.message)

    def check(self, text: str) -> str:
        """Given a text, return it. Raise ValueError with the message if its form is another."""
        if not re.fullmatch(self.pattern, text, re.ASCII):
            raise ValueError(f"{text!r}: {self.message}")
        return text

    def __get_pydantic_core_schema__(
        self, source: type[str], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), RULES: [self.rule()]}


_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED: Final = "[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"

ObjectName = Annotated[
    str,
    Field(min_length=1, max_length=NAME_MAX),
    Shape(
        _SUBDOMAIN,
        "must be the name of a Kubernetes object: lower case letters, digits, '-' and '.', "
        "starting and ending with a letter or digit",
    ),
]
"""Name of a Kubernetes object (RFC 1123 subdomain)."""

LabelName = Annotated[
    str,
    Field(min_length=1, max_length=LABEL_MAX),
    Shape(
        _LABEL,
        "must be lower case letters, digits and '-', starting and ending with a letter or digit",
    ),
]
"""A short name (RFC 1123 label), such as a container's."""

LabelKey = Annotated[
    str,
    Field(min_length=1, max_length=NAME_MAX + 1 + LABEL_MAX),
    Shape(
        rf"({_SUBDOMAIN}/)?{_QUALIFIED}", "must be a label's key, such as app or example.com/app"
    ),
]
"""Key of a label, with or without a prefix."""

LabelPrefix = Annotated[
    str,
    Field(min_length=1, max_length=NAME_MAX),
    Shape(_SUBDOMAIN, "must be the prefix of labels, without its slash, such as backup-ns.sh"),
]
"""Prefix of the keys of labels (RFC 1123 subdomain)."""

LabelValue = Annotated[
    str,
    Field(max_length=LABEL_MAX),
    Shape(
        rf"({_QUALIFIED})?",
        "must be a label's value: letters, digits, '-', '_' and '.', starting and ending with a "
        "letter or digit",
    ),
]
"""Value of a label; may be empty."""

Cron = Annotated[
    str,
    Field(min_length=1, max_length=128),
    Shape(
        r"(@(hourly|daily|midnight|weekly|monthly|yearly|annually)|[^@\s]\S*(\s+\S+){4})",
        "must have five fields (minute hour day-of-month month day-of-week) or be one of @hourly, "
        "@daily, @midnight, @weekly, @monthly, @yearly, @annually; there are no seconds, and the "
        "zone goes into timeZone",
    ),
]
"""A schedule; whether its values make sense is for the operator to say."""

ZoneName = Annotated[
    str,
    Field(min_length=1, max_length=64),
    Shape(
        "[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*",
        "must be the IANA name of a time zone, such as UTC or Europe/Vienna",
    ),
]
"""A time zone; whether it exists is for the operator to say."""

_BYTE: Final = r"[^/\x00-\x1f\x7f]"
_NO_DOT: Final = r"[^/.\x00-\x1f\x7f]"
_PART: Final = rf"({_NO_DOT}{_BYTE}*|\.{_NO_DOT}{_BYTE}*|\.\.{_BYTE}+)"

FilePath = Annotated[
    str,
    Field(min_length=2, max_length=1024),
    Shape(
        rf"(/{_PART})+",
        "must be the absolute path of a file, such as /var/lib/postgresql/data/backstay/shop.dump, "
        "without '..', '.', '//', control characters and a '/' at the end",
    ),
]
"""Absolute path of a file, in one way of writing it only: paths are compared as text."""

WORDS: Final = Shape(r"[^\x00-\x1f\x7f]+", "must not hold control characters")
"""Any text of one line; what happens to it must treat it as data."""
DirectoryPath = Annotated[
    str,
    Field(min_length=2, max_length=1024),
    Shape(
        rf"(/{_PART})+",
        "must be the absolute path of a directory, such as /srv/uploads, without '..', '.', '//', "
        "control characters and a '/' at the end",
    ),
]
"""Absolute path of a directory other than `/`, in one way of writing it only."""

RelativePath = Annotated[
    str,
    Field(min_length=1, max_length=1024),
    Shape(
        rf"{_PART}(/{_PART})*",
        "must be a relative path such as data/uploads, without '..', '.', '//', control characters "
        "and a '/' at its beginning or end",
    ),
]
"""A path below something that is named beside it, in one way of writing it only."""

_BYTES: Final = Shape(
    "[1-9][0-9]{0,11}(k|M|G|T|Ki|Mi|Gi|Ti)?",
    "must be a number of bytes above 0, such as 500M or 20Mi",
)


def _digits(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Bytes = Annotated[
    str,
    Field(min_length=1, max_length=16),
    _BYTES,
    BeforeValidator(_digits),
    WithJsonSchema(
        {
            INT_OR_STRING: True,
            "minLength": 1,
            "maxLength": 16,
            RULES: [
                cel(
                    f"type(self) == int ? self > 0 && self < {10**12} : "
                    f"self.matches(r'^{_BYTES.pattern}$')",
                    _BYTES.message,
                )
            ],
        }
    ),
]
"""A number of bytes with or without a unit, decimal or binary."""

DatabaseName = Annotated[
    str,
    Field(min_length=1, max_length=63),
    Shape(WORDS.pattern, "must be the name of a database, without control characters"),
]
"""A database; the dump scripts quote it, so that it is never read as a connection string."""

EnvironmentName = Annotated[
    str,
    Field(min_length=1, max_length=128),
    Shape(
        "[A-Za-z_][A-Za-z0-9_]*",
        "must be the name of an environment variable: letters, digits and '_', not starting with "
        "a digit",
    ),
]
"""Name of an environment variable."""

SecretKey = Annotated[
    str,
    Field(min_length=1, max_length=NAME_MAX),
    Shape("[-._A-Za-z0-9]+", "must be a key of a Secret: letters, digits, '-', '_' and '.'"),
]
"""Key in the data of a Secret."""
