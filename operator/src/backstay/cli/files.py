"""Policies and snapshots from files.

Invariant: whatever stands in a file, what leaves here has the shape that the rest relies on, or
click.BadParameter names the option, the file and what is wrong with it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

import click
import yaml
from pydantic import BaseModel, ValidationError

from backstay.api.policy import POLICY_META, PolicySpec
from backstay.api.retention import Retention
from backstay.api.schedule import Schedule
from backstay.api.store import SNAPSHOT
from backstay.domain import objects
from backstay.domain.errors import UserError
from backstay.domain.objects import Obj, dig
from backstay.domain.retention.from_spec import rules_of
from backstay.domain.retention.points import Rules

POLICY: Final = "--policy"
SNAPSHOTS: Final = "--snapshots"
_LISTS: Final = ("List", "VolumeSnapshotList")


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """A BackupPolicy as a file has it."""

    name: str
    namespace: str
    """"" where the file leaves it to kubectl."""
    spec: PolicySpec
    rules: Rules
    notes: Mapping[str, str]
    """Its annotations: what a person released in it."""


def read_policy(path: str) -> PolicyFile:
    """Given the file of one BackupPolicy (YAML or JSON, - is standard input), return it.

    Other kinds in the file are passed over. Unknown fields are reported on standard error.
    """
    try:
        found = [d for d in yaml.safe_load_all(_text(path, POLICY)) if d is not None]
    except yaml.YAMLError as error:
        raise _bad(POLICY, path, f"is no YAML: {error}") from error
    policies = [d for d in found if isinstance(d, dict) and d.get("kind") == POLICY_META.kind]
    if len(policies) != 1:
        kinds = ", ".join(sorted({_kind(d) for d in found})) or "nothing"
        raise _bad(
            POLICY, path, f"must hold one BackupPolicy; it holds {len(policies)} (found: {kinds})"
        )
    policy = policies[0]
    name = objects.name(policy)
    if not name:
        raise _bad(POLICY, path, "metadata.name is missing")
    spec = _spec(policy, path)
    try:
        rules = rules_of(spec, SNAPSHOT)
    except UserError as error:
        raise _bad(POLICY, path, error.message) from error
    notes = dig(policy, "metadata", "annotations", default={})
    if not isinstance(notes, dict) or not all(isinstance(v, str) for v in notes.values()):
        raise _bad(POLICY, path, "metadata.annotations must be texts by name")
    return PolicyFile(name, objects.namespace(policy), spec, rules, notes)


def read_snapshots(path: str) -> list[Obj]:
    """Given the file that `kubectl get volumesnapshots -o json` printed (- is standard input),
    return its snapshots.
    """
    try:
        found = json.loads(_text(path, SNAPSHOTS))
    except (ValueError, RecursionError) as error:
        raise _bad(SNAPSHOTS, path, f"is no JSON: {error}") from error
    if not isinstance(found, dict) or found.get("kind") not in _LISTS:
        raise _bad(
            SNAPSHOTS,
            path,
            f"must hold a List, found {_kind(found)};"
            " write it with: kubectl get volumesnapshots -o json",
        )
    items = found.get("items")
    if not isinstance(items, list):
        raise _bad(SNAPSHOTS, path, "items is missing or no list")
    assumed = "VolumeSnapshot" if found["kind"] == "VolumeSnapshotList" else None
    seen: set[tuple[str, str]] = set()
    for index, item in enumerate(items):
        _check_snapshot(item, f"items[{index}]", assumed, path)
        address = objects.namespace(item), objects.name(item)
        if address in seen:
            raise _bad(SNAPSHOTS, path, f"items[{index}]: {'/'.join(address)} is listed twice")
        seen.add(address)
    return items


def _check_snapshot(item: Any, where: str, assumed: str | None, path: str) -> None:
    kind = _kind(item) if not isinstance(item, dict) else item.get("kind", assumed)
    if kind != "VolumeSnapshot":
        raise _bad(SNAPSHOTS, path, f"{where} must be a VolumeSnapshot, found {kind}")
    metadata = item.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise _bad(SNAPSHOTS, path, f"{where}.metadata.name is missing")
    for part in ("labels", "annotations"):
        texts = metadata.get(part) or {}
        if not isinstance(texts, dict) or not all(isinstance(v, str) for v in texts.values()):
            raise _bad(SNAPSHOTS, path, f"{where}.metadata.{part} must be texts by name")


def _spec(policy: Obj, path: str) -> PolicySpec:
    raw = policy.get("spec")
    try:
        spec = PolicySpec.model_validate(raw or {})
    except ValidationError as error:
        problems = "; ".join(
            f"spec.{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()
        )
        raise _bad(POLICY, path, problems) from error
    for model, part in ((PolicySpec, ()), (Schedule, ("schedule",)), (Retention, ("retention",))):
        for name in _unknown(model, objects.dig(raw, *part, default={})):
            field = ".".join(("spec", *part, name))
            click.echo(f"Warning: {path}: {field} is no known field and changes nothing", err=True)
    return spec


def _unknown(model: type[BaseModel], raw: Obj) -> list[str]:
    known = {field.alias for field in model.model_fields.values()}
    return [name for name in raw if name not in known]


def _text(path: str, option: str) -> str:
    try:
        if path == "-":
            stream: TextIO = sys.stdin
            return stream.read()
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is no UTF-8 text"
        raise _bad(option, path, f"cannot be read: {why}") from error


def _kind(found: Any) -> str:
    if not isinstance(found, dict):
        return type(found).__name__
    return str(found.get("kind") or "an object without kind")


def _bad(option: str, path: str, problem: str) -> click.BadParameter:
    return click.BadParameter(f"{path}: {problem}", param_hint=option)
