"""Options that several commands share, and how their values are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from backstay.domain.calendar import parse_date
from backstay.domain.errors import DataError
from backstay.domain.times import parse_time

F = TypeVar("F", bound=Callable[..., Any])

EARLIEST, LATEST = date(1970, 1, 2), date(9000, 1, 1)
"""Beyond these, arithmetic on dates and zones runs out of Python's calendar."""


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant, or a date whose midnight depends on the policy's zone."""

    given: datetime | date

    def at(self, zone: tzinfo) -> datetime:
        """Given the policy's zone, return the instant, in UTC."""
        if isinstance(self.given, datetime):
            return self.given
        return datetime.combine(self.given, time(), zone).astimezone(UTC)


class _MomentType(click.ParamType[Moment]):
    name = "TIME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Moment:
        """Given text, return the moment; fail with what to write instead."""
        if isinstance(value, Moment):
            return value
        day = parse_date(value)
        moment: datetime | date | None = day
        if moment is None:
            try:
                moment = parse_time(value)
            except DataError as error:
                self.fail(
                    f"{error.message}; write a date (2027-03-01: midnight in the policy's zone) or"
                    " a time with its offset (2026-11-22T03:00:00+01:00)",
                    param,
                    ctx,
                )
        found = moment.date() if isinstance(moment, datetime) else moment
        if not EARLIEST <= found <= LATEST:
            self.fail(f"{value!r} is not between {EARLIEST} and {LATEST}", param, ctx)
        return Moment(moment)


MOMENT: Final = _MomentType()


@dataclass(frozen=True, slots=True)
class Target:
    """Which cluster and namespace an online command looks at."""

    kubeconfig: Path | None
    context: str | None
    namespace: str | None


def cluster_options(*, namespace: str = "Namespace; default: the context's.") -> Callable[[F], F]:
    """Given the help of -n, return what adds to a command the options that say which cluster it
    talks to.
    """

    def add(command: F) -> F:
        for option in (
            click.option("--context", metavar="NAME", help="Context of the kubeconfig to use."),
            click.option(
                "--kubeconfig", type=click.Path(path_type=Path), help="Kubeconfig file to use."
            ),
            click.option("-n", "--namespace", metavar="NS", help=namespace),
        ):
            command = option(command)
        return command

    return add


def output_option(command: F) -> F:
    """Given a command, add -o."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="How to print.",
    )(command)
