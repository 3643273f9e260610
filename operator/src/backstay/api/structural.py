"""From a pydantic model to a structural schema, as a CustomResourceDefinition needs it.

Raw JSON Schema of pydantic is never structural (KEP-1111 is the definition): references are put in
place, `X | None` is X (None means absent on our wire), titles go, every node has a type. What is
left over of JSON Schema that an API server would refuse or silently ignore raises
NotStructuralError, so a model that cannot be said in a CRD fails in the unit tests.

Defaults stay in a spec, where the API server writes them into the object: what is seen is what
runs, also after an upgrade. In a status nobody is served by them; nor by rules there, as only the
operator writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from backstay.api.common import TIME_MAX, TIME_RULES, Model
from backstay.api.shapes import INT_OR_STRING, PRESERVE, RULES, cel
from backstay.durations import format_duration

Schema = dict[str, Any]

_ORDER: Final = (
    "description",
    "type",
    INT_OR_STRING,
    PRESERVE,
    "format",
    "enum",
    "default",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    RULES,
    "required",
    "properties",
    "additionalProperties",
    "items",
)
"""Every key that a node may have, in the order in which it is read best."""

_FORMATS: Final = frozenset({"date-time", "int32", "int64"})
_INT32_MAX: Final = 2**31 - 1


class NotStructuralError(ValueError):
    """A model says something that a structural schema cannot; the message names the place."""


class _Generator(GenerateJsonSchema):
    """pydantic's generator without `null`, and with our spelling of durations."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, timedelta):
            return format_duration(dft)
        return super().encode_default(dft)


def structural(model: type[Model], *, authored: bool) -> Schema:
    """Given a model, return its structural schema.

    `authored` says whether people write it (a spec): then defaults and rules are kept.
    Raise NotStructuralError if the model cannot be said in one.
    """
    raw = model.model_json_schema(schema_generator=_Generator, by_alias=True)
    definitions = raw.pop("$defs", {})
    return _Pass(definitions, authored=authored).node(raw, path=model.__name__, above=())


class _Pass:
    """One walk through a raw schema; `path` is for messages, `above` finds recursion."""

    def __init__(self, definitions: Mapping[str, Schema], *, authored: bool) -> None:
        self._definitions = definitions
        self._authored = authored

    def node(self, raw: Schema, *, path: str, above: tuple[str, ...]) -> Schema:
        """Given a raw node, return the structural one. Raise NotStructuralError if none exists."""
        raw, above = self._inline(raw, path=path, above=above)
        raw.pop("title", None)
        if self._authored and raw.get("format") == "date-time":
            # As text: what the format admits and rules cannot read would be stored, and then no
            # write of the status would be accepted any more.
            del raw["format"]
            raw |= {"maxLength": TIME_MAX, RULES: list(TIME_RULES)}
        self._defaults_and_rules(raw)
        if "const" in raw:
            raw["enum"] = [raw.pop("const")]
        if "properties" in raw:
            raw["properties"] = {
                name: self.node(child, path=f"{path}.{name}", above=above)
                for name, child in raw["properties"].items()
            }
        if "items" in raw:
            raw["items"] = self.node(raw["items"], path=f"{path}[]", above=above)
        if raw.get(PRESERVE):
            # pydantic says of a map of whatever that its values may be anything: a CRD says so by
            # this word alone.
            del raw["additionalProperties"]
        if "additionalProperties" in raw:
            self._map_values(raw, path=path, above=above)
        if raw.get("type") == "integer":
            raw["format"] = "int32" if raw.get("maximum", _INT32_MAX + 1) <= _INT32_MAX else "int64"
        _check(raw, path=path)
        return {key: raw[key] for key in _ORDER if key in raw}

    def _inline(
        self, raw: Schema, *, path: str, above: tuple[str, ...]
    ) -> tuple[Schema, tuple[str, ...]]:
        raw = dict(raw)
        while "$ref" in raw:
            name = raw.pop("$ref").removeprefix("#/$defs/")
            if name in above:
                raise NotStructuralError(f"{path}: {name} contains itself")
            above = (*above, name)
            # What is said at the field wins over what is said at the class.
            raw = {**self._definitions[name], **raw}
        return raw, above

    def _defaults_and_rules(self, raw: Schema) -> None:
        # An empty list or a null as default is noise: absent means the same.
        if not self._authored or raw.get("default") in (None, []):
            raw.pop("default", None)
        rules = raw.pop(RULES, [])
        if self._authored and rules:
            raw[RULES] = [cel(rule["rule"], rule["message"]) for rule in rules]

    def _map_values(self, raw: Schema, *, path: str, above: tuple[str, ...]) -> None:
        """Set the schema of a map's values; rules on its keys become a rule on the map."""
        values = raw["additionalProperties"]
        if not isinstance(values, dict):
            raise NotStructuralError(f"{path}: additionalProperties needs a schema of the values")
        raw["additionalProperties"] = self.node(values, path=f"{path}{{}}", above=above)
        keys = raw.pop("propertyNames", {})
        for rule in keys.get(RULES, ()) if self._authored else ():
            of_keys = f"self.all(k, {_about(rule['rule'], 'k')})"
            raw.setdefault(RULES, []).append(cel(of_keys, rule["message"]))


def _about(rule: str, name: str) -> str:
    """Given a rule about a text, `self.matches(...)`, return it about another variable."""
    prefix = "self."
    if not rule.startswith(prefix):
        raise NotStructuralError(f"rule on a map's keys does not start with {prefix}: {rule}")
    return f"{name}.{rule.removeprefix(prefix)}"


def _check(node: Schema, *, path: str) -> None:
    """Raise NotStructuralError if a node has keys that do not belong there, or lacks its type."""
    left = set(node) - set(_ORDER)
    if left:
        raise NotStructuralError(f"{path}: {', '.join(sorted(left))} cannot be said in a CRD")
    if node.get(INT_OR_STRING):
        if "type" in node or "maxLength" not in node:
            raise NotStructuralError(f"{path}: an int or string needs max_length, and no type")
        return
    if node.get("type") not in {"string", "integer", "boolean", "array", "object"}:
        raise NotStructuralError(f"{path}: needs one type, has {node.get('type')!r}")
    if node.get("format", "int64") not in _FORMATS:
        raise NotStructuralError(f"{path}: format {node['format']!r} is not known to Kubernetes")
    if node["type"] == "array" and "items" not in node:
        raise NotStructuralError(f"{path}: a list needs a schema of its items")
    contents = {"properties", "additionalProperties", PRESERVE}
    if node["type"] == "object" and len(contents & set(node)) != 1:
        raise NotStructuralError(f"{path}: an object has either properties or additionalProperties")
    if node["type"] == "string" and not {"maxLength", "enum", "format"} & set(node):
        raise NotStructuralError(f"{path}: a string needs max_length: CEL's cost depends on it")
    if node["type"] == "array" and "maxItems" not in node:
        raise NotStructuralError(f"{path}: a list needs max_length: CEL's cost depends on it")
    if "additionalProperties" in node and "maxProperties" not in node:
        raise NotStructuralError(f"{path}: a map needs max_length: CEL's cost depends on it")
    if node["type"] == "integer" and "minimum" not in node:
        raise NotStructuralError(f"{path}: a number needs ge")
