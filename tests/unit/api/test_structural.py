"""The structural pass: what it makes of a model, and what it refuses."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Any, ClassVar, Literal

import pytest
from pydantic import Field

from backstay.api.common import TIME_MAX, TIME_RULES, Duration, Model, Time
from backstay.api.mover import Free
from backstay.api.shapes import LabelKey, LabelName, LabelValue
from backstay.api.structural import NotStructuralError, structural


class Colour(StrEnum):
    """A colour."""

    RED = "red"
    BLUE = "blue"


class Inner(Model):
    """An inner object."""

    cel_rules: ClassVar = (("self.count > 1", "count is too small"),)

    count: int = Field(default=3, ge=0, le=10, description="How many.")
    size: int = Field(default=0, ge=0, description="Bytes.")


class Outer(Model):
    """An outer object."""

    kind: Literal["one"] = Field(description="A constant.")
    colour: Colour = Field(default=Colour.RED, description="A colour.")
    maybe: LabelName | None = Field(default=None, description="May be left out.")
    inner: Inner | None = Field(default=None, description="Said at the field.")
    many: tuple[Inner, ...] = Field(default=(), max_length=4, description="Some.")
    labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, max_length=8, description="Labels."
    )
    wait: Duration = Field(default=timedelta(minutes=90), description="A wait.")
    at: Time | None = Field(default=None, description="A moment.")


def properties(model: type[Model], *, authored: bool = True) -> dict[str, Any]:
    found: dict[str, Any] = structural(model, authored=authored)["properties"]
    return found


def test_a_constant_is_an_enum_of_one() -> None:
    assert properties(Outer)["kind"] == {
        "description": "A constant.",
        "type": "string",
        "enum": ["one"],
    }


def test_a_reference_is_put_in_place_and_the_field_describes_it() -> None:
    inner = properties(Outer)["inner"]
    assert inner["description"] == "Said at the field."
    assert list(inner["properties"]) == ["count", "size"]
    assert inner["x-kubernetes-validations"] == [
        {"rule": "self.count > 1", "message": "count is too small"}
    ]


def test_what_may_be_left_out_has_no_null_and_no_default() -> None:
    maybe = properties(Outer)["maybe"]
    assert maybe["type"] == "string"
    assert not {"anyOf", "default", "nullable"} & set(maybe)
    assert structural(Outer, authored=True)["required"] == ["kind"]


def test_defaults_are_kept_where_people_write() -> None:
    spec = properties(Outer)
    assert spec["wait"]["default"] == "1h30m"
    assert spec["colour"]["default"] == "red"
    assert spec["inner"]["properties"]["count"]["default"] == 3
    assert "default" not in spec["many"]


def test_a_status_has_neither_defaults_nor_rules() -> None:
    status = structural(Outer, authored=False)
    assert "default" not in str(status)
    assert "x-kubernetes-validations" not in str(status)


def test_small_numbers_are_int32_and_sizes_int64() -> None:
    inner = properties(Outer)["inner"]["properties"]
    assert inner["count"]["format"] == "int32"
    assert inner["size"]["format"] == "int64"


def test_rules_on_the_keys_of_a_map_are_rules_of_the_map() -> None:
    labels = properties(Outer)["labels"]
    (rule,) = labels["x-kubernetes-validations"]
    assert rule["rule"].startswith("self.all(k, k.matches(")
    assert labels["additionalProperties"]["maxLength"] == 63
    assert labels["maxProperties"] == 8


def test_a_time_that_people_write_is_a_text_whose_form_rules_can_read() -> None:
    assert properties(Outer)["at"] == {
        "description": "A moment.",
        "type": "string",
        "maxLength": TIME_MAX,
        "x-kubernetes-validations": list(TIME_RULES),
    }


def test_a_time_of_a_status_is_a_date_time() -> None:
    assert properties(Outer, authored=False)["at"] == {
        "description": "A moment.",
        "type": "string",
        "format": "date-time",
    }


class PassedOn(Model):
    value: Free | None = Field(default=None, description="Somebody else's.")


def test_an_object_that_is_passed_on_keeps_every_field() -> None:
    assert properties(PassedOn)["value"] == {
        "description": "Somebody else's.",
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
    }


class Endless(Model):
    below: Endless | None = Field(default=None, description="Itself.")


class Unbounded(Model):
    text: str = Field(description="Any length.")


class UnboundedList(Model):
    items: tuple[LabelName, ...] = Field(description="Any number.")


class UnboundedMap(Model):
    labels: dict[str, LabelName] = Field(description="Any number.")


class Either(Model):
    value: int | LabelName = Field(description="Of two types.")


class Anything(Model):
    value: Any = Field(description="Of any type.")


class AnyMap(Model):
    value: dict[str, Any] = Field(max_length=3, description="Of any values.")


class Exclusive(Model):
    number: int = Field(gt=0, description="JSON Schema's number form of exclusiveMinimum.")


class Negative(Model):
    number: int = Field(description="Without a minimum.")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Endless, "Endless.below: Endless contains itself"),
        (Unbounded, "Unbounded.text: a string needs max_length"),
        (UnboundedList, "UnboundedList.items: a list needs max_length"),
        (UnboundedMap, "UnboundedMap.labels: a map needs max_length"),
        (Either, "Either.value: anyOf cannot be said in a CRD"),
        (Anything, "Anything.value: needs one type, has None"),
        (AnyMap, "AnyMap.value: additionalProperties needs a schema"),
        (Exclusive, "Exclusive.number: exclusiveMinimum cannot be said in a CRD"),
        (Negative, "Negative.number: a number needs ge"),
    ],
)
def test_what_a_crd_cannot_say_is_refused(model: type[Model], message: str) -> None:
    with pytest.raises(NotStructuralError, match=message):
        structural(model, authored=True)
