"""Which CronJobs prune for backup-ns, and what marks say of one that is none of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from tests.unit.cli.running import FOREIGN, foreign

from backstay.domain.adoption.other_pruner import MARK_MEMORY, Pruner, creators, pruners, refusal
from backstay.domain.objects import Obj

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
IMAGE = "ghcr.io/allaboutapps/backup-ns:v0.3.0"
PRUNE = ["/bin/bash", "-c", "/app/retain.sh && /app/mark-and-delete.sh"]


def cronjob(
    name: str = "tidy",
    namespace: str = "tools",
    *,
    image: str = "debian:12",
    command: list[str] | None = None,
    app: str = "",
    account: str = "default",
    suspend: bool = False,
    status: Obj | None = None,
    **container: Any,
) -> Obj:
    pod = {
        "serviceAccountName": account,
        "containers": [{"name": "c", "image": image, "command": command or [], **container}],
    }
    template = {"metadata": {"labels": {"app": app}}, "spec": pod}
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"suspend": suspend, "jobTemplate": {"spec": {"template": template}}},
        "status": status or {},
    }


BACKUP: Final[dict[str, Any]] = {
    "name": "backup",
    "namespace": "shop",
    "image": IMAGE,
    "app": "backup",
}
SYNC: Final[dict[str, Any]] = {
    "name": "sync-volume-snapshot-labels",
    "namespace": "backup-ns",
    "image": IMAGE,
    "command": ["/app/backup-ns", "controller", "syncMetadataToVsc"],
    "account": "backup-ns-controller",
}


@pytest.mark.parametrize(
    "values",
    [
        {"command": PRUNE},
        {"command": ["/app/mark-and-delete.sh"]},
        {"args": ["-c", "/app/retain.sh"], "command": ["bash"]},
        {"command": ["/scripts/retain.sh"]},
        {"image": IMAGE, "command": ["/app/backup-ns", "controller", "deleteAfterSweep"]},
        # wrapped in a script of their own
        {"image": IMAGE, "name": "pruner", "command": ["/scripts/run.sh"]},
        {"name": "pruner", "namespace": "backup-ns", "command": ["/scripts/run.sh"]},
        {"app": "pruner", "account": "backup-ns-controller"},
        {"image": "registry.example/mirror/backup-ns@sha256:12", "name": "nightly-pruner"},
    ],
    ids=lambda values: f"{values!r:.60}",
)
def test_a_pruner_is_known_by_what_it_runs_or_by_its_names(values: dict[str, Any]) -> None:
    assert [p.stopped for p in pruners([cronjob(**values)])] == [False]


@pytest.mark.parametrize(
    "values",
    [
        BACKUP,
        SYNC,
        {"command": ["/app/my-retain.sh"]},
        {"name": "pruner", "image": "registry.example/image-pruner:1"},
        {"name": "docker-pruner", "namespace": "kube-system"},
    ],
    ids=lambda values: f"{values!r:.60}",
)
def test_other_jobs_are_no_pruners(values: dict[str, Any]) -> None:
    assert pruners([cronjob(**values)]) == []


def test_a_suspended_pruner_has_stopped_when_no_job_of_it_is_active() -> None:
    active = {"active": [{"name": "pruner-1"}]}
    found = pruners(
        [
            cronjob("a", command=PRUNE, suspend=True),
            cronjob("b", command=PRUNE, suspend=True, status=active),
        ]
    )
    assert [(p.name, p.stopped) for p in found] == [("tools/a", True), ("tools/b", False)]
    why = refusal(found, [], FOREIGN, NOW)
    assert why is not None
    assert "CronJob tools/b" in why
    assert refusal(found[:1], [], FOREIGN, NOW) is None


def test_the_reason_names_the_pruner_and_the_command_that_stops_it() -> None:
    why = refusal(pruners([cronjob("pruner", "backup-ns", command=PRUNE)]), [], FOREIGN, NOW)
    assert why is not None
    assert ('kubectl patch cronjob pruner -n backup-ns -p \'{"spec":{"suspend":true}}\'') in why


def test_jobs_that_make_snapshots_in_the_namespace_are_reported_while_they_run() -> None:
    jobs = [
        cronjob(**BACKUP),
        cronjob(**BACKUP | {"namespace": "wiki"}),
        cronjob(**BACKUP | {"name": "off", "suspend": True}),
        cronjob(**BACKUP | {"name": "pruner", "command": PRUNE}),
        cronjob("mirrored", "shop", image="hub/tool:1", env=[{"name": "BAK_NAMESPACE"}]),
        cronjob("other", "shop", image="hub/not-backup-ns:1", env=[{"name": "TZ"}]),
    ]
    assert creators(jobs, "shop") == ["CronJob shop/backup", "CronJob shop/mirrored"]


def marked(at: datetime, *, created: bool = False, date: str = "2026-11-24", **values: Any) -> Obj:
    """A snapshot whose date was written at that time: in its creation, or by a later write."""
    found = foreign("old", "2026-11-15T23:32:00Z", delete_after=date, **values)
    fields: Obj = {"f:metadata": {"f:labels": {f"f:{FOREIGN}delete-after": {}}}}
    if created:
        fields["f:spec"] = {"f:source": {}}
    found["metadata"]["managedFields"] = [
        {"manager": "kubectl-label", "time": at.isoformat(), "fieldsV1": fields}
    ]
    return found


RAN = NOW - timedelta(hours=1)


def test_a_fresh_mark_that_no_stopped_pruner_explains_is_a_pruner_elsewhere() -> None:
    why = refusal([], [marked(RAN)], FOREIGN, NOW)
    assert why is not None
    assert "marked snapshot old at 2026-11-24 11:00 UTC" in why
    assert "after 2026-11-25 13:00 UTC" in why


@pytest.mark.parametrize(
    ("found", "snapshot"),
    [
        ([], marked(NOW - MARK_MEMORY - timedelta(minutes=1))),
        ([], marked(RAN, created=True)),
        ([], marked(RAN, retain="days")),
        ([], foreign("old", "2026-11-15T23:32:00Z", delete_after="2026-11-24")),
        ([Pruner("backup-ns/pruner", True, RAN - timedelta(minutes=5))], marked(RAN)),
    ],
)
def test_an_old_mark_or_one_that_is_explained_says_nothing(
    found: list[Pruner], snapshot: Obj
) -> None:
    assert refusal(found, [snapshot], FOREIGN, NOW) is None


@pytest.mark.parametrize(
    "date",
    [
        "2026-11-25",  # renewed for a day
        "2999-01-01",
        "2026-11-20",  # marked long ago: a hold or a note was added today
        "2026-11-22",  # its pruner's day is over for more than 26 hours
        "never",
        "",
        "0001-01-01",
        "9999-12-31",
    ],
)
def test_a_date_that_no_pruner_would_write_now_is_a_persons(date: str) -> None:
    for zone in (ZoneInfo("Europe/Vienna"), ZoneInfo("America/New_York"), UTC):
        assert refusal([], [marked(RAN, date=date)], FOREIGN, NOW, zone) is None


@pytest.mark.parametrize("tier", ["daily", "weekly", "monthly"])
def test_a_date_on_a_snapshot_that_has_a_tier_is_a_persons(tier: str) -> None:
    values: dict[str, Any] = {tier: "w47"}
    assert refusal([], [marked(RAN, **values)], FOREIGN, NOW) is None


def test_the_day_of_a_mark_is_one_of_the_policys_zone() -> None:
    # given a mark of noon in Auckland, where it is the next day already
    at = datetime(2026, 11, 23, 23, 0, tzinfo=UTC)
    assert refusal([], [marked(at)], FOREIGN, NOW) is None
    assert refusal([], [marked(at)], FOREIGN, NOW, ZoneInfo("Pacific/Auckland")) is not None


def test_a_mark_of_yesterday_stays_one_when_a_person_labels_the_snapshot_today() -> None:
    # given a hold that was set today: the same writer as the mark, so its time is of today
    held = marked(RAN, date="2026-11-23")
    why = refusal([], [held], FOREIGN, NOW)
    assert why is not None
    assert "at 2026-11-23 23:59 UTC" in why
    # and the pruner that wrote it explains it, whenever the person came
    stopped = Pruner("backup-ns/pruner", True, datetime(2026, 11, 23, 10, 36, tzinfo=UTC))
    assert refusal([stopped], [held], FOREIGN, NOW) is None


def test_the_reason_says_how_a_person_distinguishes_a_date_from_a_mark() -> None:
    why = refusal([], [marked(RAN)], FOREIGN, NOW)
    assert why is not None
    assert f"kubectl label volumesnapshot old -n shop {FOREIGN}delete-after=YYYY-MM-DD" in why


def test_a_pruner_that_was_stopped_before_the_mark_does_not_explain_it() -> None:
    stopped = Pruner("backup-ns/pruner", True, RAN - timedelta(days=2))
    assert refusal([stopped], [marked(RAN)], FOREIGN, NOW) is not None
