"""Settings of the operator, read from the environment (prefix BACKSTAY_) by pydantic-settings."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


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
        description="Image of verify pods: the operator's own, so that nothing else is pulled.",
    )
    agent_pull_policy: str = Field(default="IfNotPresent", description="Their imagePullPolicy.")
    lease_name: str = Field(default="backstay", description="Name of the Lease.")
    bind_address: str = Field(default="0.0.0.0", description="Address of both ports.")  # noqa: S104
    probe_port: int = Field(default=8080, description="Port of /healthz and /readyz.")
    metrics_port: int = Field(default=9090, description="Port of /metrics.")
    workers: int = Field(default=8, ge=1, le=64, description="Keys worked on at a time.")
    pool_global: int = Field(
        default=40, ge=1, le=1000, description="Runs at work at a time, from dumps to the cut."
    )
    pool_node: int = Field(
        default=2, ge=1, le=100, description="Runs at a time that dump on one node."
    )
    pool_driver: int = Field(
        default=20, ge=1, le=1000, description="Runs at a time whose claims are one CSI driver's."
    )
    resync_interval: timedelta = Field(
        default=timedelta(minutes=5), description="How often everything is looked at anew."
    )
    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR.")
