"""An object of ours as read: what is stored, and spec and status parsed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from pydantic import ValidationError

from backstay.api.common import Model
from backstay.domain import objects
from backstay.domain.errors import DataError
from backstay.domain.objects import Obj
from backstay.domain.times import parse_time

Spec = TypeVar("Spec", bound=Model)
Status = TypeVar("Status", bound=Model)


@dataclass(frozen=True, slots=True)
class Subject(Generic[Spec, Status]):
    """One object with the models of its kind."""

    obj: Obj
    spec: Spec
    status: Status

    @property
    def name(self) -> str:
        """Its name."""
        return objects.name(self.obj)

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return objects.namespace(self.obj)

    @property
    def uid(self) -> str:
        """Its uid: an object recreated under the same name is another one."""
        return objects.uid(self.obj)

    @property
    def created(self) -> datetime:
        """When it was created, in whole seconds by the API server's clock."""
        return parse_time(objects.dig(self.obj, "metadata", "creationTimestamp"))


def parse_subject(
    kind: str, obj: Obj, spec: type[Spec], status: type[Status]
) -> Subject[Spec, Status]:
    """Given an object as read, its kind for messages and its models, return it parsed.

    Raise DataError if it cannot be understood.
    """
    try:
        return Subject(
            obj,
            spec.model_validate(obj.get("spec") or {}),
            status.model_validate(obj.get("status") or {}),
        )
    except ValidationError as error:
        raise DataError(f"{kind} {objects.name(obj)} cannot be read: {error}") from error
