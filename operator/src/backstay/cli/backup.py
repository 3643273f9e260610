"""`kubectl backstay backup`: have a policy run now, and see it through."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from backstay.cli.options import Target, cluster_options


@click.command()
@click.argument("policy")
@click.option("--wait/--no-wait", default=True, help="Wait until the run is over (the default).")
@click.option(
    "--timeout",
    type=click.IntRange(min=1),
    default=60,
    show_default=True,
    metavar="MINUTES",
    help="How long to wait. The run goes on after that.",
)
@cluster_options()
def backup(
    *,
    policy: str,
    wait: bool,
    timeout: int,
    namespace: str | None,
    kubeconfig: Path | None,
    context: str | None,
) -> None:
    """Have POLICY run now, whatever its schedule says.

    It sets the annotation backstay.dev/run, for which you need the right to patch the policy. The
    exit code is 1 if the run does not come to be Completed.
    """
    # Late: the Kubernetes client takes seconds to load.
    from backstay.cli import online_backup  # noqa: PLC0415

    target = Target(kubeconfig, context, namespace)
    limit = timedelta(minutes=timeout) if wait else None
    online_backup.backup(target, policy, limit, click.echo)
