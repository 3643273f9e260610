"""What the record of a point in a repository says: enough to recreate its Backup, and to restore.

Invariant: it is the record of a snapshot, with what a snapshot has beside it as labels. A directory
of a node has no claim: that is one without a name there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backstay.api.rolling import PlannedCopy
from backstay.domain.errors import DataError
from backstay.domain.records.annotation import build_record, parse_record
from backstay.domain.records.json_reader import Reader
from backstay.domain.records.record import Record


@dataclass(frozen=True, slots=True)
class Carried:
    """What a point says of itself."""

    record: Record
    path: str = ""
    """The directory of the claim or node that it is of; "" is all of a claim."""
    node: str = ""
    """The node that has the directory; "": a claim has it."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What retention knows it by, as it was made."""
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """Return what names its source for people, as points have it."""
        claim = self.record.claim.name if not self.node else None
        return PlannedCopy(node=self.node or None, claim=claim, path=self.path).series

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it. Raise DataError if it is too large."""
        found: dict[str, Any] = json.loads(build_record(self.record))
        return found | {
            "path": self.path,
            "node": self.node,
            "labels": dict(self.labels),
            "annotations": dict(self.annotations),
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Carried:
        """Given the JSON of a record, return it. Raise DataError naming the field that is wrong."""
        try:
            text = json.dumps(dict(raw))
        except (TypeError, ValueError, RecursionError) as error:
            raise DataError(f"the record is no JSON: {error}") from error
        reader = Reader(dict(raw), "record")
        return cls(
            record=parse_record(text),
            path=reader.optional("path") or "",
            node=reader.optional("node") or "",
            labels=reader.mapping("labels"),
            annotations=reader.mapping("annotations"),
        )
