"""`kubectl backstay repository`: have a repository listed, checked, pruned or unlocked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from backstay.cli.options import Target, cluster_options, output_option

F = TypeVar("F", bound=Callable[..., Any])
_CHECK: Final = "check"


@click.group(name="repository")
def repository() -> None:
    """Have a BackupRepository listed, checked, pruned or unlocked, by the operator.

    Each needs the right to patch the BackupRepository, and no Secret: a Job of the operator does
    it. The exit code is 1 if it does not come to a good end.
    """


def _options(command: F) -> F:
    """Given a command, add what all have in common."""
    for option in (
        click.option(
            "--timeout",
            type=click.IntRange(min=1),
            default=60,
            show_default=True,
            metavar="MINUTES",
            help="How long to wait. The Job goes on after that.",
        ),
        click.argument("name"),
    ):
        command = option(command)
    return cluster_options()(command)


@repository.command()
@_options
def check(
    *,
    name: str,
    timeout: int,
    namespace: str | None,
    kubeconfig: Path | None,
    context: str | None,
) -> None:
    """Check the structure of repository NAME, and read the next part of its data."""
    _do(_CHECK, name, timeout, Target(kubeconfig, context, namespace))


@repository.command()
@_options
def prune(
    *,
    name: str,
    timeout: int,
    namespace: str | None,
    kubeconfig: Path | None,
    context: str | None,
) -> None:
    """Reclaim the space of what was forgotten in repository NAME."""
    _do("prune", name, timeout, Target(kubeconfig, context, namespace))


@repository.command()
@_options
def unlock(
    *,
    name: str,
    timeout: int,
    namespace: str | None,
    kubeconfig: Path | None,
    context: str | None,
) -> None:
    """Remove every lock of repository NAME, whoever has it.

    Make sure before that no restic works on it: whatever runs may lose what it does. Locks of Pods
    of ours that are gone are removed without it.
    """
    _do("unlock", name, timeout, Target(kubeconfig, context, namespace))


@repository.command()
@output_option
@_options
def snapshots(
    *,
    name: str,
    timeout: int,
    output: str,
    namespace: str | None,
    kubeconfig: Path | None,
    context: str | None,
) -> None:
    """List repository NAME, and show its points and what else is in it."""
    # Late: the Kubernetes client takes seconds to load.
    from backstay.cli import online_repository, shown_repository  # noqa: PLC0415

    target = Target(kubeconfig, context, namespace)
    found = online_repository.snapshots(target, name, timedelta(minutes=timeout))
    shown_repository.show(found, output)


def _do(what: str, name: str, timeout: int, target: Target) -> None:
    # Late: the Kubernetes client takes seconds to load.
    from backstay.cli import online_repository  # noqa: PLC0415

    click.echo(online_repository.do(target, name, what, timedelta(minutes=timeout)))
