"""What the three kinds share: group, model base, durations, conditions.

Reading is tolerant (`extra="ignore"`): the API server prunes and refuses unknown fields, and an
older operator must not trip over a newer field. `None` always means absent: dump with `dump()`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Final, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from backstay.api.shapes import INT_OR_STRING, RULES, cel
from backstay.durations import format_duration, parse_duration

GROUP: Final = "backstay.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

CONDITIONS_MAX: Final = 16
"""Bound of a list of conditions."""

_DURATION_RULE: Final = cel(
    "self.matches('^([0-9]{1,3}d)?([0-9]{1,4}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?$') && "
    "self.matches('[1-9]')",
    "must be a duration such as 90s, 10m, 1h30m or 2d, longer than 0 and shorter than 1000 days",
)
"""What people may write: less than what parse_duration reads, so that a sum of units fits too."""


Duration = Annotated[
    timedelta,
    BeforeValidator(lambda v: parse_duration(v) if isinstance(v, str) else v),
    PlainSerializer(format_duration, return_type=str),
    Field(gt=timedelta(0)),
    WithJsonSchema({"type": "string", "maxLength": 20, RULES: [_DURATION_RULE]}),
]
"""A length of time above 0, written `90s`, `10m`, `1h30m`, `2d`."""


_SIZE = re.compile(r"(\d{1,12})(Ki|Mi|Gi|Ti)?", re.ASCII)
_UNITS: Final = {None: 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def parse_size(text: str) -> int:
    """Given a size such as `64Mi` or `1Gi`, return bytes. Raise ValueError if it is none."""
    match = _SIZE.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not a size such as 64Mi or 1Gi")
    return int(match[1]) * _UNITS[match[2]]


def size_text(value: int) -> str:
    """Given bytes, return the form that parse_size reads, in the largest whole unit."""
    name, unit = max(
        ((name, unit) for name, unit in _UNITS.items() if value % unit == 0), key=lambda u: u[1]
    )
    return f"{value // unit}{name or ''}" if value else "0"


Size = Annotated[
    int,
    BeforeValidator(lambda v: parse_size(v) if isinstance(v, str) else v),
    PlainSerializer(size_text, return_type=str),
    Field(ge=0),
    WithJsonSchema(
        {
            INT_OR_STRING: True,
            "maxLength": 14,
            RULES: [
                cel(
                    f"type(self) == int ? self >= 0 && self < {10**12} : "
                    "self.matches('^([0-9]{1,12}|[0-9]{1,5}(Ki|Mi|Gi|Ti))$')",
                    "must be a size such as 0, 64Mi or 1Gi: up to five digits and Ki, Mi, Gi or "
                    "Ti, or a number of bytes",
                )
            ],
        }
    ),
]
"""A number of bytes, written `64Mi`, `1Gi` or as the number."""


def format_time(value: datetime) -> str:
    """Given an aware time, return RFC 3339 in UTC with seconds, as Kubernetes writes it."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


TIME_RULES: Final = (
    cel(
        "self.matches('^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
        "([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$')",
        "must be a time such as 2026-11-22T00:32:00Z or 2026-11-22T01:32:00+01:00, with a "
        "capital T and Z",
    ),
    cel(
        "!self.matches('^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9]{2}:[0-9]{2})$') || "
        "(timestamp(self) > timestamp('0001-01-02T00:00:00Z') && "
        "timestamp(self) < timestamp('9999-12-31T00:00:00Z'))",
        "must be a date that the calendar has, of the years 1 to 9999",
    ),
)
"""What people may write for a time: less than the schema's date-time, which lets pass what rules
cannot read, as t and z in lower case."""
TIME_MAX: Final = 40

Time = Annotated[AwareDatetime, PlainSerializer(format_time, return_type=str)]
"""An instant, aware, RFC 3339 on the wire."""


def _add_rules(schema: dict[str, Any], model: type[Model]) -> None:
    if model.cel_rules:
        schema[RULES] = [cel(rule, message) for rule, message in model.cel_rules]


class Model(BaseModel):
    """Base of every model: camelCase on the wire, unknown fields ignored, values frozen."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        json_schema_extra=_add_rules,
    )

    cel_rules: ClassVar[tuple[tuple[str, str], ...]] = ()
    """CEL rules of this object: (rule, message) pairs for x-kubernetes-validations."""

    def dump(self) -> dict[str, Any]:
        """Return the wire form: camelCase, absent where None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


M = TypeVar("M", bound=Model)


def changed(model: M, **values: Any) -> M:
    """Given a model and new values of some fields (by Python name), return a changed copy."""
    unknown = values.keys() - type(model).model_fields.keys()
    if unknown:
        raise AttributeError(f"{type(model).__name__} has no {', '.join(sorted(unknown))}")
    return model.model_copy(update=values)


class Condition(Model):
    """One condition, as metav1.Condition defines it (KEP-1623)."""

    type: str = Field(description="Name of the condition, in CamelCase.", max_length=63)
    status: str = Field(
        description="True, False or Unknown.",
        json_schema_extra={"enum": ["True", "False", "Unknown"]},
    )
    reason: str = Field(description="Why, as one CamelCase word for machines.", max_length=128)
    message: str = Field(description="Why, in words for people.", max_length=4096)
    observed_generation: int = Field(
        default=0, ge=0, description="The metadata.generation that this condition speaks of."
    )
    last_transition_time: Time = Field(description="When status last changed.")


def with_condition(
    conditions: tuple[Condition, ...],
    *,
    type: str,
    ok: bool | None,
    reason: str,
    message: str,
    generation: int,
    now: datetime,
) -> tuple[Condition, ...]:
    """Given conditions and a new verdict of one type (None: nobody knows), return them with it set
    in place.

    The transition time moves only when the status changes, so an unchanged verdict is an
    unchanged value and costs no write.
    """
    status = "Unknown" if ok is None else str(ok)
    old = next((c for c in conditions if c.type == type), None)
    since = old.last_transition_time if old is not None and old.status == status else now
    new = Condition(
        type=type,
        status=status,
        reason=reason,
        message=message[:4096],
        observed_generation=generation,
        last_transition_time=since,
    )
    if old is None:
        return (*conditions, new)
    return tuple(new if c.type == type else c for c in conditions)
