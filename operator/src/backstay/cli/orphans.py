"""`kubectl backstay orphans`: backups that outlived their snapshot or their namespace."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Any

import click

from backstay.cli.options import Target, cluster_options, output_option
from backstay.cli.output import print_json, print_table, short_size, short_time
from backstay.domain.stores.snapshots.orphans import Orphan


@click.command()
@click.option("-A", "--all-namespaces", is_flag=True, help="Of every namespace, gone ones as well.")
@cluster_options()
@output_option
def orphans(
    *,
    all_namespaces: bool,
    namespace: str | None,
    kubeconfig: Path | None,
    context: str | None,
    output: str,
) -> None:
    """Show backups whose VolumeSnapshot is gone, and no sweep is known to have deleted it.

    They hold their disk snapshots until a person rebinds or deletes them. Those that are about to
    be lost are shown as well, and what runs left that failed or never came to an end.
    """
    if all_namespaces and namespace is not None:
        raise click.UsageError("give either -A or -n")
    # Late: the Kubernetes client takes seconds to load.
    from backstay.cli import online  # noqa: PLC0415

    found = online.orphans(Target(kubeconfig, context, namespace), everywhere=all_namespaces)
    if output == "json":
        print_json([_as_json(orphan) for orphan in found])
    elif not found:
        click.echo("No orphans.")
    else:
        print_table(
            ("namespace", "claim", "policy", "taken (utc)", "result", "content", "dumps", "why"),
            [_row(orphan) for orphan in found],
        )


def _row(orphan: Orphan) -> tuple[str, ...]:
    dumps = ",".join(f"{d.name} ({d.engine}, {short_size(d.size)})" for d in orphan.dumps)
    return (
        orphan.namespace,
        orphan.claim or "-",
        orphan.policy or "-",
        short_time(orphan.taken, UTC),
        orphan.result or "-",
        orphan.content,
        dumps or "-",
        orphan.why + (f"; {orphan.problem}" if orphan.problem else ""),
    )


def _as_json(orphan: Orphan) -> dict[str, Any]:
    return {
        "content": orphan.content,
        "why": orphan.why,
        "namespace": orphan.namespace,
        "snapshot": orphan.snapshot,
        "policy": orphan.policy,
        "claim": orphan.claim,
        "backup": orphan.backup,
        "result": orphan.result or None,
        "taken": orphan.taken.isoformat() if orphan.taken else None,
        "driver": orphan.driver,
        "snapshotHandle": orphan.handle,
        "deletionPolicy": orphan.deletion_policy,
        "dumps": [
            {
                "name": dump.name,
                "engine": dump.engine,
                "pathInClaim": dump.path_in_claim,
                "bytes": dump.size,
                "sha256": dump.sha256,
            }
            for dump in orphan.dumps
        ],
        "problem": orphan.problem or None,
    }
