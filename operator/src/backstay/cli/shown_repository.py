"""What is in a repository, as `kubectl backstay repository snapshots` prints it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import click

from backstay.cli.output import print_json, print_table


@dataclass(frozen=True, slots=True)
class ShownPoint:
    """A point that a Backup shows."""

    snapshot: str
    """The restic snapshot of its data, as far as people name it."""
    source: str
    taken: str
    size: str
    backup: str
    policy: str
    until: str


@dataclass(frozen=True, slots=True)
class ShownOthers:
    """Snapshots of others, of one host and path."""

    host: str
    path: str
    snapshots: int
    newest: str
    taken: str


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a repository."""

    points: Sequence[ShownPoint]
    others: Sequence[ShownOthers]
    message: str
    """What the list has found, in words."""


def show(found: Contents, output: str) -> None:
    """Given what is in a repository and how to print, print it."""
    if output == "json":
        print_json(asdict(found))
        return
    if found.points:
        columns = ("snapshot", "source", "taken", "size", "backup", "policy", "until")
        print_table(columns, [[str(getattr(p, c)) for c in columns] for p in found.points])
    if found.others:
        heads = ("host", "snapshots", "newest", "taken", "path")
        rows = [[str(getattr(o, head)) for head in heads] for o in found.others]
        print_table(heads, rows, title="Of others")
    click.echo(found.message)
