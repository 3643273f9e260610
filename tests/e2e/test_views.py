"""What people see: the tables of kubectl, and one Event for every change of phase."""

from __future__ import annotations

from tests.e2e.shop import Shop

RUN = ["Started", "Completed"]


def test_kubectl_get_reads_well_and_every_phase_has_one_event(shop: Shop) -> None:
    shop.policy(schedule={"cron": "32 0 * * *", "timeZone": "Europe/Vienna"})
    backup = shop.backup()
    shop.finished(backup)
    request = shop.restore({"backup": backup}, "seen")
    shop.restored(request)
    shop.kubectl.until(
        "the record to say how long it is kept",
        lambda: shop.kubectl.get("backups.backstay.dev", backup)["status"].get("until"),
    )

    table = shop.kubectl.run("get", "backuppolicies,backups.backstay.dev,restorerequests")
    assert all(len(line) <= 120 for line in table.splitlines()), table
    assert "<invalid>" not in table
    for word in (backup, request, "32 0 * * *", "Completed", "until", "Until".upper()):
        assert word in table
    wide = shop.kubectl.run("get", "backups.backstay.dev", "--output", "wide")
    assert "POLICY" in wide

    assert [e["reason"] for e in shop.events("Backup", backup)] == RUN
    reported = [e["reason"] for e in shop.events("RestoreRequest", request)]
    assert reported == ["Restoring", "Completed"]
    assert all(e.get("count", 1) == 1 for e in shop.events("Backup", backup))
