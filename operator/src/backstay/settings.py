"""Settings of the operator, read from the environment (prefix BACKSTAY_) by pydantic-settings."""

from __future__ import annotations

from datetime import timedelta
from pathlib import PurePosixPath
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings, SettingsConfigDict

from backstay.durations import parse_duration

EVERY_NAMESPACE = "*"


def _directory(text: str) -> str:
    path = PurePosixPath(text)
    plain = path.is_absolute() and str(path) == text and ".." not in path.parts
    # POSIX has two slashes at the start mean something else, and PurePosixPath keeps them.
    if not plain or path == PurePosixPath("/") or text.startswith("//"):
        raise ValueError(f"{text!r} is not the absolute path of a directory such as /srv/uploads")
    return text


Directory = Annotated[str, AfterValidator(_directory)]


class _Allowed(BaseModel):
    """Something of the nodes' that the administrator opens to namespaces."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    namespaces: tuple[str, ...] = Field(
        min_length=1, description="Namespaces that may use it; `*` for all."
    )
    nodes: tuple[str, ...] = Field(default=(), description="Nodes that have it; none: all nodes.")

    def open_to(self, namespace: str, node: str) -> bool:
        """Given a namespace and a node, return whether it may be used by the one on the other."""
        mine = EVERY_NAMESPACE in self.namespaces or namespace in self.namespaces
        return mine and (not self.nodes or node in self.nodes)


class SourceRoot(_Allowed):
    """A directory of nodes that policies may copy from, and everything below it."""

    path: Directory
    restore: bool = Field(
        default=False, description="Whether restores may write into it too, as root."
    )


class DestinationRoot(_Allowed):
    """Where copies of directories of nodes may be kept: a directory of the node, or a claim of the
    operator's namespace.
    """

    path: Directory | None = None
    claim: str | None = None
    sub_path: str | None = Field(default=None, alias="subPath", description="A directory in it.")
    id: str | None = Field(
        default=None,
        description="Its marker's id: another disk that is mounted in its place is refused.",
    )

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.path is None) == (self.claim is None):
            raise ValueError("needs exactly one of path and claim")
        return self


class RollingRoots(BaseModel):
    """What the administrator opens to rolling copies. Nothing, by default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: tuple[SourceRoot, ...] = ()
    destinations: tuple[DestinationRoot, ...] = ()


def _text(value: object) -> object:
    """Given what YAML made of a number of bytes, return it as it was written."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Length = Annotated[
    timedelta,
    BeforeValidator(lambda value: parse_duration(value) if isinstance(value, str) else value),
    Field(gt=timedelta(0)),
]
"""A length of time above 0 as policies write it, such as `90s` or `2d`."""


class Ceilings(BaseModel):
    """How long a run of any namespace may hold its permits at most, whatever its policy says."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True
    )

    dump_duration: Length = Field(
        default=timedelta(hours=24), description="Of maxDuration of each dump."
    )
    hook_timeout: Length = Field(
        default=timedelta(hours=1), description="Of timeout of each hook, and of maxFreeze."
    )
    take_timeout: Length = Field(default=timedelta(hours=2), description="Of snapshot.takeTimeout.")
    ready_timeout: Length = Field(
        default=timedelta(days=7), description="Of snapshot.readyTimeout."
    )
    start_timeout: Length = Field(
        default=timedelta(hours=2), description="Of startTimeout of rolling and of repository."
    )
    copy_duration: Length = Field(
        default=timedelta(days=7),
        description="Of maxDuration of rolling and of repository, for each source.",
    )
    copy_bandwidth: Annotated[str, BeforeValidator(_text)] = Field(
        default="1M",
        pattern="^(0|[1-9][0-9]{0,11}(k|M|G|T|Ki|Mi|Gi|Ti)?)$",
        description="The other way round: the least that rolling.bandwidth may say, in bytes a "
        "second; 0: anything.",
    )


class Settings(BaseSettings):
    """What an administrator may set; the chart's values map onto these one by one."""

    model_config = SettingsConfigDict(env_prefix="BACKSTAY_", frozen=True)

    namespace: str = Field(
        default="backstay", description="The operator's namespace: home of its Lease."
    )
    identity: str = Field(
        default="backstay-0", description="Name that holds the Lease: the pod's name."
    )
    agent_image: str = Field(
        default="backstay:latest",
        description="Image of verify pods and of the Jobs of rolling copies: the operator's own, "
        "so that nothing else is pulled.",
    )
    agent_pull_policy: str = Field(default="IfNotPresent", description="Their imagePullPolicy.")
    lease_name: str = Field(default="backstay", description="Name of the Lease.")
    bind_address: str = Field(default="0.0.0.0", description="Address of both ports.")  # noqa: S104
    probe_port: int = Field(default=8080, description="Port of /healthz and /readyz.")
    metrics_port: int = Field(default=9090, description="Port of /metrics.")
    workers: int = Field(default=8, ge=1, le=64, description="Keys worked on at a time.")
    pool_global: int = Field(
        default=40,
        ge=1,
        le=1000,
        description="Runs at work at a time: from dumps to snapshots, or for a whole rolling copy.",
    )
    pool_node: int = Field(
        default=3,
        ge=1,
        le=100,
        description="Runs at a time that dump on one node, or copy directories of it: of one "
        "namespace, half of them, rounded up. So it is of the other pools.",
    )
    pool_driver: int = Field(
        default=20,
        ge=1,
        le=1000,
        description="Runs at a time that snapshot claims of one CSI driver.",
    )
    ceilings: Ceilings = Field(
        default=Ceilings(),
        description="JSON: bounds of what policies may ask for. A policy beyond one runs within "
        "it, and says so.",
    )
    resync_interval: timedelta = Field(
        default=timedelta(minutes=5),
        ge=timedelta(seconds=1),
        description="How often everything is read again.",
    )
    rolling: RollingRoots = Field(
        default=RollingRoots(),
        description="JSON: directories of nodes that policies may copy from and to.",
    )
    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR.")
