"""Printing: tables for people, JSON for programs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

import click

WIDTH: Final = 120
"""Columns where standard output is no terminal."""
NARROWEST: Final = 32
"""Columns that the last one of a table has at least."""


def print_json(value: Any) -> None:
    """Given a value of plain JSON types, print it."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "") -> None:
    """Given headings and rows, print a table as kubectl does, without lines.

    Only the last column is broken into lines; the others stand whole, however narrow the terminal.
    """
    # Late: it takes a fifth of a second to load, and -o json has no need of it.
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns[:-1]:
        table.add_column(column.upper(), no_wrap=True)
    table.add_column(columns[-1].upper(), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    whole = [max(len(cell) for cell in cells) + 2 for cells in zip(columns, *rows, strict=True)]
    width = shutil.get_terminal_size(fallback=(WIDTH, 0)).columns
    console = Console(highlight=False, width=max(width, sum(whole[:-1]) + NARROWEST))
    if title:
        console.print(Text(title, style="bold"))
    console.print(table)


def short_time(moment: datetime | None, zone: tzinfo) -> str:
    """Given an aware moment, return it to the minute in that zone, "-" for None."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}" if moment is not None else "-"


def short_duration(length: timedelta) -> str:
    """Given a length, return its largest two units: "3d 4h", "1h 5m"."""
    minutes = round(length.total_seconds() / 60)
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days}d {hours}h" if hours else f"{days}d"
    return f"{hours}h {rest}m" if rest else f"{hours}h"


def short_size(size: int) -> str:
    """Given bytes, return them in the largest binary unit below: "1.5 GiB"."""
    number = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if number < 1024 or unit == "TiB":
            break
        number /= 1024
    return f"{size} B" if unit == "B" else f"{number:.1f} {unit}"
