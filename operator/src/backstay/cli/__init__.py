"""`kubectl backstay`: what retention will do, what a policy would keep, and what was orphaned.

Invariants: nothing here writes to a cluster, but for one Job by which init-destination prepares a
disk, and what asks the operator for work (the annotations of backup and of repository, and the
spec.unlock of repository unlock); wrong use ends with exit code 2 and names
the option that is wrong, anything else that fails with 1; commands that work on files alone never
import the Kubernetes client, which takes longer to load than they take to run.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from backstay.cli.backup import backup
from backstay.cli.destination import init_destination
from backstay.cli.orphans import orphans
from backstay.cli.repository import repository
from backstay.cli.retention import retention
from backstay.cli.simulate import simulate
from backstay.domain.errors import BackstayError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def program() -> None:
    """Look at Kubernetes backups and at what retention makes of them."""


program.add_command(backup)
program.add_command(retention)
program.add_command(simulate)
program.add_command(orphans)
program.add_command(init_destination)
program.add_command(repository)


def main(argv: Sequence[str] | None = None) -> int:
    """Given arguments (None: those of the process), run a command; return the exit code."""
    try:
        code = program.main(
            args=list(argv) if argv is not None else None,
            prog_name="kubectl backstay",
            standalone_mode=False,
        )
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("Aborted.", err=True)
        return 130
    except BackstayError as error:
        click.echo(f"Error: {error.message}", err=True)
        return 1
    return code if isinstance(code, int) else 0
