"""The container that a dump or a hook runs in."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from backstay.api.common import Model
from backstay.api.shapes import LabelName, ObjectName


class TargetKind(StrEnum):
    """Kinds that a dump or a hook can run in."""

    DEPLOYMENT = "Deployment"
    STATEFUL_SET = "StatefulSet"
    POD = "Pod"


class Preference(StrEnum):
    """Which of several replicas is taken if it can be had."""

    PRIMARY = "Primary"
    STANDBY = "Standby"


class Target(Model):
    """The container that something runs in."""

    kind: TargetKind = Field(description="Kind of the workload.")
    name: ObjectName = Field(description="Name of the workload, in the policy's namespace.")
    container: LabelName | None = Field(
        default=None,
        description="The container; may be left out when the pod has only one.",
    )
    prefer: Preference = Field(
        default=Preference.PRIMARY,
        description="Which of several running pods is taken, of those that have a claim of the "
        "run: chosen by the labels that database operators set (such as role, "
        "cnpg.io/instanceRole, spilo-role), else PostgreSQL is asked whether it is in recovery. "
        "The other role is taken where the preferred one does not run.",
    )
