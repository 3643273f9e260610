"""`kubectl backstay init-destination`: make a disk usable for rolling copies, once."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from backstay.cli.options import Target, cluster_options

HOME: Final = "backstay"
"""The operator's namespace where none is given."""


@click.command("init-destination")
@click.option("--node", required=True, metavar="NAME", help="The node that has the directory.")
@click.option(
    "--path", required=True, metavar="DIR", help="The directory: as rolling.destinations has it."
)
@click.option("--id", "marker", metavar="TEXT", help="The marker's id; left out, one is drawn.")
@click.option(
    "--image", metavar="IMAGE", help="The agent's image; left out, that of the operator there."
)
@cluster_options(namespace=f"Namespace of the operator; default: {HOME}.")
def init_destination(
    *,
    node: str,
    path: str,
    marker: str | None,
    image: str | None,
    namespace: str | None,
    kubeconfig: Path | None,
    context: str | None,
) -> None:
    """Write the marker of rolling copies into a directory of a node.

    A copy is refused where there is no marker: that is what a disk looks like that is not mounted.
    So see first that it is mounted. The work is done by a Job in the operator's namespace, for
    which you need the right to make Jobs there.
    """
    # Late: the Kubernetes client takes seconds to load.
    from backstay.cli import online_rolling  # noqa: PLC0415

    target = Target(kubeconfig, context, namespace or HOME)
    click.echo(online_rolling.init_destination(target, node, path, marker=marker, image=image))
