"""`kubectl backstay simulate`: what a policy would keep, over years of virtual time."""

from __future__ import annotations

import random  # noqa: TID251 - a seeded generator: the same numbers every time
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Any, Final

import click

from backstay.cli.files import PolicyFile, read_policy
from backstay.cli.options import MOMENT, Moment, output_option
from backstay.cli.output import print_json, print_table, short_duration, short_time
from backstay.domain.errors import UserError
from backstay.domain.retention.expiry import tiers_of, until
from backstay.domain.retention.simulation import Outcome
from backstay.domain.retention.simulation import simulate as run_simulation
from backstay.domain.schedule.slots import Timing

RUNS_MAX: Final = 10_000


@click.command()
@click.option("--policy", "policy_file", metavar="FILE", required=True, help="The policy to try.")
@click.option(
    "--from",
    "start",
    type=MOMENT,
    required=True,
    help="When it begins: a date (midnight in the policy's zone) or a time.",
)
@click.option(
    "--days", type=click.IntRange(1, 36_500), default=800, show_default=True, help="How long."
)
@click.option(
    "--fail",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="The share of runs that fail.",
)
@click.option(
    "--seed",
    type=int,
    default=1,
    show_default=True,
    help="Chooses which runs fail; the same seed always chooses the same.",
)
@output_option
def simulate(
    *, policy_file: str, start: Moment, days: int, fail: float, seed: int, output: str
) -> None:
    """Run a policy's schedule and retention through years, and show what is there at the end.

    One claim is simulated; every claim of the policy goes the same way.
    """
    file = read_policy(policy_file)
    begin, starts, end = _plan(file, start, days)
    chance = random.Random(seed)  # noqa: S311 - no secret
    outcome = run_simulation(starts, file.rules, end, lambda: chance.random() < fail)
    if output == "json":
        print_json(_as_json(outcome, file, begin))
    else:
        _print(outcome, file, begin)


def _plan(file: PolicyFile, start: Moment, days: int) -> tuple[datetime, list[datetime], datetime]:
    """The beginning, the starts of the runs and the end, each in UTC."""
    if file.spec.schedule is None:
        raise click.BadParameter(
            "spec.schedule is missing: nothing would run", param_hint="--policy"
        )
    try:
        timing = Timing.of(file.spec.schedule, file.namespace, file.name)
    except UserError as error:
        raise click.BadParameter(error.message, param_hint="--policy") from error
    begin = start.at(file.rules.zone)
    # On the zone's calendar: midnight stays midnight when clocks change on the way.
    end = (begin.astimezone(file.rules.zone) + timedelta(days=days)).astimezone(UTC)
    coming = (start for _, start in timing.runs(begin - timedelta(microseconds=1)))
    starts = list(islice(takewhile(lambda start: start < end, coming), RUNS_MAX + 1))
    if len(starts) > RUNS_MAX:
        raise click.BadParameter(
            f"{days} days of this schedule are more than {RUNS_MAX} runs: give fewer",
            param_hint="--days",
        )
    return begin, starts, end


def _as_json(outcome: Outcome, file: PolicyFile, begin: datetime) -> dict[str, Any]:
    return {
        "from": begin.astimezone(file.rules.zone).isoformat(),
        "to": outcome.end.astimezone(file.rules.zone).isoformat(),
        "runs": outcome.runs,
        "failed": outcome.failed,
        "swept": outcome.swept,
        "failedSnapshots": outcome.leftovers,
        "points": [
            {
                "taken": point.taken.astimezone(file.rules.zone).isoformat(),
                "tiers": list(tiers_of(point)),
                "until": until(point, file.rules, outcome.end),
            }
            for point in outcome.good
        ],
        "gaps": [
            {
                "age": gap.age,
                "points": gap.points,
                "largestSeconds": gap.largest.total_seconds() if gap.largest else None,
            }
            for gap in outcome.gaps
        ],
    }


def _print(outcome: Outcome, file: PolicyFile, begin: datetime) -> None:
    zone = file.rules.zone
    click.echo(
        f"Policy {file.name}, {short_time(begin, zone)} to {short_time(outcome.end, zone)}"
        f" {getattr(zone, 'key', '')}: {outcome.runs} runs, {outcome.failed} failed,"
        f" {outcome.swept} snapshots swept"
    )
    click.echo(
        f"At the end: {len(outcome.good)} recovery points"
        f" and {outcome.leftovers} failed snapshots\n"
    )
    if not outcome.good:
        return
    print_table(
        ("taken", "age", "tiers", "until"),
        [
            (
                short_time(point.taken, zone),
                short_duration(outcome.end - point.taken),
                ",".join(tiers_of(point)) or "-",
                until(point, file.rules, outcome.end) or "-",
            )
            for point in outcome.good
        ],
    )
    click.echo()
    print_table(
        ("age up to", "points", "largest gap"),
        [
            (gap.age, str(gap.points), short_duration(gap.largest) if gap.largest else "-")
            for gap in outcome.gaps
        ],
    )
