"""The source of a policy: claims, or directories of a node."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Final

from pydantic import Field

from backstay.api.common import Model
from backstay.api.rolling import HostPathSource
from backstay.api.shapes import LabelKey, LabelValue, ObjectName, RelativePath

LIST_MAX: Final = 64
"""Bound of lists of names: CEL's cost estimate needs one."""
CLAIMS_MAX: Final = 256
"""Claims of one run, those that selectors choose included."""


class SelectorOperator(StrEnum):
    """Relations of a label to the values of an expression."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class LabelExpression(Model):
    """One expression of a label selector (metav1.LabelSelectorRequirement)."""

    cel_rules: ClassVar = (
        (
            "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
            "values are required for In and NotIn, and must be left out for Exists and "
            "DoesNotExist",
        ),
    )

    key: LabelKey = Field(description="The label.")
    operator: SelectorOperator = Field(description="How the label's value relates to values.")
    values: tuple[LabelValue, ...] = Field(
        default=(), description="Values for In and NotIn.", max_length=LIST_MAX
    )


class LabelSelector(Model):
    """Chooses claims by their labels (metav1.LabelSelector)."""

    cel_rules: ClassVar = (
        (
            "(has(self.matchLabels) && size(self.matchLabels) > 0) || "
            "(has(self.matchExpressions) && size(self.matchExpressions) > 0)",
            "selector is empty and would match every claim: name at least one label",
        ),
    )

    match_labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, description="Labels and the values they must have.", max_length=32
    )
    match_expressions: tuple[LabelExpression, ...] = Field(
        default=(), description="Expressions that must all hold.", max_length=32
    )


class ClaimSource(Model):
    """The claims to protect: the union of what is said, in the policy's namespace."""

    cel_rules: ClassVar = (
        (
            "(has(self.names) && size(self.names) > 0) || has(self.selector) || "
            "(has(self.ofDumps) && self.ofDumps)",
            "claims needs names, a selector, or ofDumps: true",
        ),
    )

    names: tuple[ObjectName, ...] = Field(
        default=(),
        description="PersistentVolumeClaims by name.",
        max_length=LIST_MAX,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    selector: LabelSelector | None = Field(
        default=None, description="PersistentVolumeClaims by label, looked up at each run."
    )
    of_dumps: bool = Field(
        default=False,
        description="The claims that the dumps are written to, in whatever pod each is taken: "
        "looked up at each run through the volumeMounts of the pod that target.prefer chooses.",
    )
    sub_path: RelativePath | None = Field(
        default=None,
        description="The directory of each claim that is copied or uploaded; left out, all of it. "
        "A snapshot always holds the whole claim.",
    )


class Source(Model):
    """What the policy protects: exactly one of its fields."""

    cel_rules: ClassVar = (
        (
            "has(self.claims) != has(self.hostPath)",
            "source needs exactly one of claims and hostPath",
        ),
    )

    claims: ClaimSource | None = Field(
        default=None, description="PersistentVolumeClaims of the policy's namespace."
    )
    host_path: HostPathSource | None = Field(
        default=None, description="Directories of one node, copied or uploaded by Jobs."
    )
