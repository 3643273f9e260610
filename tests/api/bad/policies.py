"""Bad policies and Backups, but for their dumps, hooks and stores."""

from __future__ import annotations

from typing import Final

from tests.api.bad.common import (
    CLAIMS,
    CLAIMS_NEED,
    DURATION,
    FIVE_FIELDS,
    GONE,
    OBJECT,
    OFFICE,
    PREFIX,
    SCHEDULE,
    STRICT,
    TIME,
    WINDOW,
    backup,
    policy,
    restore,
    window,
)

BAD: Final = [
    policy("spec.schedule.cron", "0 32 0 * * *", f"{SCHEDULE}.cron", FIVE_FIELDS),
    policy("spec.schedule.cron", "32 0 * *", f"{SCHEDULE}.cron", FIVE_FIELDS),
    policy("spec.schedule.cron", "@reboot", f"{SCHEDULE}.cron", "or be one of @hourly, @daily"),
    policy("spec.schedule.cron", "CRON_TZ=UTC 1 2 * * *", f"{SCHEDULE}.cron", "into timeZone"),
    policy("spec.schedule.cron", GONE, f"{SCHEDULE}.cron", "Required value"),
    policy("spec.schedule.timeZone", "../x", f"{SCHEDULE}.timeZone", "such as UTC or Europe/"),
    policy("spec.schedule.startingDeadline", "0s", f"{SCHEDULE}.startingDeadline", DURATION),
    policy("spec.schedule.startingDeadline", "6 hours", f"{SCHEDULE}.startingDeadline", DURATION),
    policy("spec.schedule.startingDeadline", "-6h", f"{SCHEDULE}.startingDeadline", DURATION),
    policy("spec.schedule.startingDeadline", "", f"{SCHEDULE}.startingDeadline", DURATION),
    policy("spec.schedule.jitter", "0s", f"{SCHEDULE}.jitter", DURATION),
    policy("spec.schedule.jitter", "ten", f"{SCHEDULE}.jitter", DURATION),
    window({"duration": "1h"}, f"{WINDOW}.start", "Required value"),
    window({"start": "@daily"}, f"{WINDOW}.duration", "Required value"),
    window({"start": "08:00", "duration": "1h"}, f"{WINDOW}.start", FIVE_FIELDS),
    window({"start": "@daily", "duration": "till 8"}, f"{WINDOW}.duration", DURATION),
    window({"start": "@daily", "duration": "1h", "end": "@daily"}, STRICT, f'"{WINDOW}.end"'),
    policy("spec.schedule.blackouts", [OFFICE] * 9, f"{SCHEDULE}.blackouts", "at most 8 items"),
    policy("spec.snapshot.takeTimeout", "1h5", "spec.snapshot.takeTimeout", DURATION),
    policy("spec.snapshot.readyTimeout", "5000d", "spec.snapshot.readyTimeout", DURATION),
    policy("spec.snapshot.className", "Fast", "spec.snapshot.className", OBJECT),
    policy("spec.source", GONE, "spec.source", "Required value"),
    policy("spec.source", {}, "spec.source", "source needs exactly one of claims and hostPath"),
    policy("spec.source.claims", {}, CLAIMS, CLAIMS_NEED),
    policy("spec.source.claims", {"names": []}, CLAIMS, CLAIMS_NEED),
    policy("spec.source.claims", {"selector": {}}, f"{CLAIMS}.selector", "name at least one label"),
    policy(
        "spec.source.claims",
        {"selector": {"matchLabels": {}}},
        f"{CLAIMS}.selector",
        "selector is empty and would match every claim",
    ),
    policy(
        "spec.source.claims",
        {"selector": {"matchLabels": {"a b": "c"}}},
        f"{CLAIMS}.selector.matchLabels",
        "must be a label's key, such as app",
    ),
    policy(
        "spec.source.claims",
        {"selector": {"matchLabels": {"app": "a b"}}},
        f"{CLAIMS}.selector.matchLabels[app]",
        "must be a label's value",
    ),
    policy(
        "spec.source.claims",
        {"selector": {"matchExpressions": [{"key": "app", "operator": "In"}]}},
        f"{CLAIMS}.selector.matchExpressions[0]",
        "values are required for In and NotIn",
    ),
    policy(
        "spec.source.claims",
        {"selector": {"matchExpressions": [{"key": "app", "operator": "Equals"}]}},
        f"{CLAIMS}.selector.matchExpressions[0].operator",
        'supported values: "In", "NotIn", "Exists", "DoesNotExist"',
    ),
    policy("spec.source.claims.names", ["Data"], f"{CLAIMS}.names[0]", OBJECT),
    policy("spec.source.claims.names", ["a" * 254], f"{CLAIMS}.names[0]", "more than 253 bytes"),
    policy("spec.source.claims.names", ["a", "a"], f"{CLAIMS}.names[1]", "Duplicate value"),
    policy("spec.retention.daily", -1, "spec.retention.daily", "greater than or equal to 0"),
    policy("spec.retention.weekly", 5000, "spec.retention.weekly", "less than or equal to 1040"),
    policy("spec.retention.monthly", 10**9, "spec.retention.monthly", "less than or equal to 240"),
    policy("spec.retention.adhocDays", 0, "spec.retention.adhocDays", "greater than or equal to 1"),
    policy("spec.retention.hourly", 8761, "spec.retention.hourly", "less than or equal to 8760"),
    policy("spec.retention.yearly", 101, "spec.retention.yearly", "less than or equal to 100"),
    policy("spec.retention.last", 1001, "spec.retention.last", "less than or equal to 1000"),
    policy("spec.retention.within", "0s", "spec.retention.within", "longer than 0"),
    policy("spec.retention.within", "soon", "spec.retention.within", "must be a duration"),
    policy("spec.retention.failed", -3, "spec.retention.failed", "greater than or equal to 0"),
    policy("spec.retention.daily", 1.5, "spec.retention.daily", "must be of type integer"),
    policy("spec.retention", {}, "spec", "set last, within, hourly, daily"),
    policy("spec.retries", 11, "spec.retries", "less than or equal to 10"),
    policy("spec.retention.minutely", 3, STRICT, 'unknown field "spec.retention.minutely"'),
    policy("spec.adopt", {}, "spec.adopt.labelPrefix", "Required value"),
    policy("spec.adopt", {"labelPrefix": ""}, "spec.adopt.labelPrefix", "at least 1 chars long"),
    policy("spec.adopt", {"labelPrefix": "backup-ns.sh/"}, "spec.adopt.labelPrefix", PREFIX),
    policy("spec.adopt", {"labelPrefix": "Backup NS"}, "spec.adopt.labelPrefix", PREFIX),
    policy("spec.adopt", {"labelPrefix": "backstay.dev"}, "spec.adopt", "the other tool's"),
    policy("spec", GONE, "spec", "Required value"),
    backup({"spec.policy": GONE}, "spec.policy", "Required value"),
    backup({"spec.policy": "Shop"}, "spec.policy", OBJECT),
    backup({"spec.trigger": "Manual"}, "spec.trigger", 'supported values: "Scheduled", "AdHoc"'),
    backup({"spec.trigger": "Scheduled"}, "spec", "scheduledFor is required when trigger is Sch"),
    backup(
        {"spec.scheduledFor": "2026-11-22T00:32:00Z"},
        "spec",
        "scheduledFor is set by the operator, for trigger Scheduled or Imported only",
    ),
    backup({"spec.scheduledFor": "tomorrow"}, "spec.scheduledFor", TIME),
    *(
        restore({"spec.notAfter": text}, "spec.notAfter", TIME)
        for text in (
            "2030-12-31t23:59:59z",
            "2030-12-31t23:59:59Z",
            "2030-12-31 23:59:59Z",
            "2030-12-31T23:59:59",
            "2030-12-31T23:59:60Z",
            "2030-12-31T24:00:00Z",
            "2030-12-31",
            "",
        )
    ),
    *(
        restore({"spec.notAfter": text}, "spec.notAfter", "must be a date that the calendar has")
        for text in ("2030-02-30T00:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00")
    ),
    *(
        backup(
            {"spec.trigger": "Scheduled", "spec.scheduledFor": slot},
            "spec",
            "scheduledFor must be a slot from the year 2000 on and before 9000",
        )
        for slot in ("0001-01-01T00:00:00Z", "1999-12-31T23:59:59Z", "9000-01-01T00:00:00Z")
    ),
    backup({"spec.keepDays": 0}, "spec.keepDays", "greater than or equal to 1"),
    backup({"spec.keepDays": 100000}, "spec.keepDays", "less than or equal to 3660"),
    backup(
        {
            "spec.trigger": "Scheduled",
            "spec.scheduledFor": "2026-11-22T00:32:00Z",
            "spec.keepDays": 3,
        },
        "spec",
        "keepDays is for trigger AdHoc only",
    ),
]
