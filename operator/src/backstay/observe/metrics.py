"""The operator's metrics, in one registry of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
REGISTRY: Final = CollectorRegistry()

RECONCILES: Final = Counter(
    "backstay_reconciles",
    "Work items done, by kind and outcome.",
    ("kind", "outcome"),
    registry=REGISTRY,
)
RECONCILE_SECONDS: Final = Histogram(
    "backstay_reconcile_seconds",
    "Time that a work item took, by kind.",
    ("kind",),
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 30),
    registry=REGISTRY,
)
REQUESTS: Final = Counter(
    "backstay_kubernetes_requests",
    "Requests to the API server, by verb, resource and HTTP status (0: no answer).",
    ("verb", "resource", "status"),
    registry=REGISTRY,
)
MISSED: Final = Counter(
    "backstay_missed_slots",
    "Slots of schedules that have no run, by policy and reason (status.missed of the policy).",
    ("namespace", "policy", "reason"),
    registry=REGISTRY,
)
RUNS: Final = Counter(
    "backstay_runs",
    "Runs that ended, by policy and phase (status.phase of the Backup).",
    ("namespace", "policy", "phase"),
    registry=REGISTRY,
)
LAST_SUCCESS: Final = Gauge(
    "backstay_last_success_timestamp_seconds",
    "status.lastSuccess of a policy, in seconds since 1970; 0 where it has none.",
    ("namespace", "policy"),
    registry=REGISTRY,
)
GOOD: Final = Gauge(
    "backstay_good_points",
    "Good points of all series of a policy.",
    ("namespace", "policy"),
    registry=REGISTRY,
)
MISSING: Final = Gauge(
    "backstay_missing_points",
    "Good points of a policy that are not there although nothing of Backstay's removed them.",
    ("namespace", "policy"),
    registry=REGISTRY,
)
WATCHING: Final = Gauge(
    "backstay_watching", "1 while this process watches for changes.", registry=REGISTRY
)
LEADER: Final = Gauge("backstay_leader", "1 while this process holds the Lease.", registry=REGISTRY)

ROT: Final = Gauge(
    "backstay_changed_copies",
    "Files of rolling copies that a scrub found changed, by policy and directory.",
    ("namespace", "policy", "directory"),
    registry=REGISTRY,
)
ORPHANS: Final = Gauge(
    "backstay_orphans",
    "Contents that outlived their snapshot or namespace, by the namespace that they speak of.",
    ("namespace",),
    registry=REGISTRY,
)
PERMITS: Final = Gauge(
    "backstay_permits_held",
    "Permits of a pool that runs of a namespace hold.",
    ("pool", "namespace"),
    registry=REGISTRY,
)
PERMITS_SINCE: Final = Gauge(
    "backstay_permits_held_since_timestamp_seconds",
    "When the oldest of these runs got its permit, in seconds since 1970.",
    ("pool", "namespace"),
    registry=REGISTRY,
)
WAITING: Final = Gauge(
    "backstay_runs_waiting",
    "Runs that are due and wait for a permit, or for another run of the same claim or target.",
    ("namespace",),
    registry=REGISTRY,
)


def on_permits(held: Mapping[tuple[str, str], Sequence[float]], waiting: Mapping[str, int]) -> None:
    """Given by pool and namespace since when runs hold a permit (in seconds since 1970), and by
    namespace how many runs wait, show that and nothing else.
    """
    for metric in (PERMITS, PERMITS_SINCE, WAITING):
        metric.clear()
    for (pool, namespace), since in held.items():
        PERMITS.labels(pool, namespace).set(len(since))
        PERMITS_SINCE.labels(pool, namespace).set(min(since))
    for namespace, count in waiting.items():
        WAITING.labels(namespace).set(count)


def on_orphans(counts: Mapping[str, int]) -> None:
    """Given how many orphans there are by namespace, show that and nothing else."""
    ORPHANS.clear()
    for namespace, count in counts.items():
        ORPHANS.labels(namespace).set(count)


def on_scrubbed(namespace: str, policy: str, directory: str, files: int) -> None:
    """Given a directory of a policy, show how many files of its copies were found changed."""
    ROT.labels(namespace, policy, directory).set(files)


def forget_scrubbed(namespace: str, policy: str) -> None:
    """Given a policy, drop what was shown of its copies, of directories of the past too."""
    ROT.remove_by_labels({"namespace": namespace, "policy": policy})


def on_request(verb: str, plural: str, status: int, seconds: float) -> None:
    """Given one finished request, count it."""
    del seconds
    REQUESTS.labels(verb, plural, str(status)).inc()


def on_reconciled(kind: str, seconds: float, outcome: str) -> None:
    """Given one finished work item, count and time it."""
    RECONCILES.labels(kind, outcome).inc()
    RECONCILE_SECONDS.labels(kind).observe(seconds)


def on_missed(namespace: str, policy: str, reason: str, count: int) -> None:
    """Given a policy, a reason and a number of slots, count them as missed."""
    MISSED.labels(namespace, policy, reason).inc(count)


def on_run_ended(namespace: str, policy: str, phase: str) -> None:
    """Given a run's policy and its final phase, count it."""
    RUNS.labels(namespace, policy, phase).inc()


def on_policy(
    namespace: str, policy: str, *, good: int, missing: int, last_success: datetime | None
) -> None:
    """Given what a policy has and misses, show that."""
    GOOD.labels(namespace, policy).set(good)
    MISSING.labels(namespace, policy).set(missing)
    LAST_SUCCESS.labels(namespace, policy).set(last_success.timestamp() if last_success else 0)


def forget_policy(namespace: str, policy: str) -> None:
    """Given a policy that is gone, drop what was shown of it: names come and go for years."""
    for metric in (MISSED, RUNS, LAST_SUCCESS, GOOD, MISSING):
        metric.remove_by_labels({"namespace": namespace, "policy": policy})


def exposition() -> bytes:
    """Return all metrics in the Prometheus text format."""
    return generate_latest(REGISTRY)
