"""`kubectl backstay retention`: what retention will do with every snapshot, and why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, Final

import click

from backstay.cli.files import PolicyFile, read_policy, read_snapshots
from backstay.cli.options import MOMENT, Moment, Target, cluster_options, output_option
from backstay.cli.output import print_json, print_table, short_time
from backstay.domain import labels, objects, preview
from backstay.domain.objects import Obj
from backstay.domain.preview import Preview
from backstay.domain.stores.snapshots.carriers import identity
from backstay.engine.system_clock import SystemClock

_PREFIX: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


@dataclass(frozen=True, slots=True)
class Shown:
    """The previews of one policy."""

    policy: str
    now: datetime
    zone: tzinfo
    lines: Sequence[Preview]
    copies: int = 0
    """How many of the lines are of rolling copies."""


@click.command()
@click.argument("policy", required=False)
@click.option(
    "--policy", "policy_file", metavar="FILE", help="Judge by this policy, not the one applied."
)
@click.option(
    "--snapshots",
    metavar="FILE",
    help="What `kubectl get volumesnapshots -o json` printed; nothing is asked of a cluster.",
)
@click.option(
    "--now",
    type=MOMENT,
    help="Judge as of this time or date (midnight in the policy's zone); default: now.",
)
@click.option(
    "--label-prefix",
    metavar="PREFIX",
    help="Judge the snapshots of another tool by its labels, such as backup-ns.sh.",
)
@cluster_options()
@output_option
def retention(
    *,
    policy: str | None,
    policy_file: str | None,
    snapshots: str | None,
    now: Moment | None,
    label_prefix: str | None,
    namespace: str | None,
    kubeconfig: Path | None,
    context: str | None,
    output: str,
) -> None:
    """Show for every snapshot of a POLICY what retention will do with it, and why.

    Without POLICY and --policy: for all policies of the namespace. Nothing is changed, and no
    run to come is imagined: `simulate` does that.
    """
    if policy is not None and policy_file is not None:
        raise click.UsageError("give either POLICY or --policy FILE, which names its policy itself")
    file = read_policy(policy_file) if policy_file is not None else None
    prefix = _foreign(label_prefix)
    if prefix is not None and file is None:
        raise click.UsageError("--label-prefix needs --policy FILE: the rules to judge by")
    moment = now or Moment(SystemClock().now())
    if snapshots is not None:
        if file is None:
            raise click.UsageError("--snapshots needs --policy FILE: the rules to judge by")
        if policy_file == snapshots == "-":
            raise click.UsageError("--policy and --snapshots cannot both be standard input")
        shown = [_offline(file, read_snapshots(snapshots), moment, prefix, namespace)]
    else:
        # Late: the Kubernetes client takes seconds to load.
        from backstay.cli import online  # noqa: PLC0415

        shown = online.retention(
            Target(kubeconfig, context, namespace), policy, file, moment, prefix
        )
    _show(shown, output)


def _show(shown: Sequence[Shown], output: str) -> None:
    if output == "json":
        print_json([_as_json(line) for one in shown for line in one.lines])
        return
    for one in shown:
        _print(one)


def _foreign(prefix: str | None) -> str | None:
    """The prefix with its slash; None if it is ours."""
    if prefix is None:
        return None
    bare = prefix.removesuffix("/")
    if len(bare) > 253 or not _PREFIX.fullmatch(bare):
        raise click.BadParameter(
            f"{prefix!r} is no prefix of labels; write a DNS name such as backup-ns.sh",
            param_hint="--label-prefix",
        )
    return None if f"{bare}/" == labels.PREFIX else f"{bare}/"


def _offline(
    file: PolicyFile, found: list[Obj], moment: Moment, prefix: str | None, namespace: str | None
) -> Shown:
    now = moment.at(file.rules.zone)
    if namespace is not None:
        found = [s for s in found if objects.namespace(s) == namespace]
    if prefix is not None:
        lines = preview.of_adopted(found, file.rules, now, prefix)
    else:
        lines = preview.of_unwatched(own(found, file, namespace), file.rules, now, file.notes)
    return Shown(file.name, now, file.rules.zone, lines)


def own(found: list[Obj], file: PolicyFile, namespace: str | None) -> list[Obj]:
    """Given snapshots and a policy's file, return those of the policy: by name, and by namespace
    where the file or -n says one.
    """
    place = namespace or file.namespace
    return [
        s
        for s in found
        if identity(s, labels.POLICY) == file.name
        and (not place or objects.namespace(s) in ("", place))
    ]


def _as_json(line: Preview) -> dict[str, Any]:
    return {
        "namespace": line.namespace,
        "name": line.name,
        "set": dict(line.set_labels),
        "remove": list(line.remove_labels),
        "delete": line.delete,
        "reasons": [*line.reasons, *line.notes],
    }


def verdict_of(line: Preview) -> str:
    """Given a preview, return its verdict in one word."""
    short_set = {key.rpartition("/")[2] for key in line.set_labels}
    short_removed = {key.rpartition("/")[2] for key in line.remove_labels}
    if line.delete:
        return "delete"
    if "delete-after" in short_set:
        return "mark"
    if "delete-after" in short_removed:
        return "unmark"
    if "hold" in short_set:
        return "hold"
    return "relabel" if short_set or short_removed else "keep"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _print(shown: Shown) -> None:
    count = len(shown.lines)
    zone = getattr(shown.zone, "key", "UTC")
    click.echo(
        f"Policy {shown.policy}, as of {short_time(shown.now, shown.zone)} {zone}:"
        f" {_counted(count - shown.copies, 'snapshot', 'snapshots')}"
        + (f", {_counted(shown.copies, 'copy', 'copies')}" if shown.copies else "")
    )
    series: dict[tuple[str, str], list[Preview]] = {}
    for line in shown.lines:
        series.setdefault((line.namespace, line.claim), []).append(line)
    oldest = datetime.min.replace(tzinfo=UTC)
    for (namespace, claim), lines in sorted(series.items()):
        lines.sort(key=lambda line: line.taken or oldest, reverse=True)
        print_table(
            ("name", "taken", "tiers", "verdict", "reasons"),
            [
                (
                    line.name,
                    short_time(line.taken, shown.zone),
                    ",".join(line.tiers) or "-",
                    verdict_of(line),
                    "; ".join(line.reasons),
                )
                for line in lines
            ],
            title=f"\n{namespace or '-'}/{claim or '-'}",
        )
