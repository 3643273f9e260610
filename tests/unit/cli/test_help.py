"""What the help says of the options that commands share."""

from __future__ import annotations

import pytest
from tests.unit.cli.running import Cli


def help_of(cli: Cli, command: str) -> str:
    """Return it on one line: where it is broken depends on the terminal."""
    ran = cli.run(command, "--help")
    assert ran.code == 0, ran.err
    return " ".join(ran.out.split())


@pytest.mark.parametrize("command", ["retention", "orphans"])
def test_commands_look_at_the_namespace_of_the_context(cli: Cli, command: str) -> None:
    assert "--namespace NS Namespace; default: the context's. " in help_of(cli, command)


def test_init_destination_works_where_the_operator_is(cli: Cli) -> None:
    said = help_of(cli, "init-destination")
    assert "--namespace NS Namespace of the operator; default: backstay. " in said
    assert "context's" not in said
