"""Retention on the real cluster: what is old goes with its disk, the last good one never."""

from __future__ import annotations

from tests.e2e.disks import Disks
from tests.e2e.kube import Obj
from tests.e2e.shop import PREFIX, Shop, ours


def test_an_old_date_sweeps_snapshot_content_and_disk_but_never_the_last_good(
    shop: Shop, disks: Disks
) -> None:
    shop.policy()
    names = shop.one_after_another(2)
    (old,), (newest,) = (shop.snapshots_of(name) for name in names)
    contents = [shop.content(s) for s in (old, newest)]

    shop.label(_name(newest), delete_after="2020-01-01")
    shop.label(_name(old), delete_after="2020-01-01")
    shop.touch_policy()

    shop.kubectl.until(
        "the old snapshot, its content and its disk to be gone",
        lambda: (
            not shop.kubectl.find("volumesnapshot", _name(old))
            and not shop.kubectl.find("volumesnapshotcontent", _name(contents[0]))
            and not disks.has(contents[0])
        ),
        60,
    )
    shop.kubectl.until(
        "its record to be removed",
        lambda: not shop.kubectl.find("backups.backstay.dev", names[0]),
        60,
    )
    kept = shop.kubectl.get("volumesnapshot", _name(newest))
    assert ours(kept)["delete-after"] == "2020-01-01"
    assert disks.has(contents[1])
    assert shop.kubectl.find("backups.backstay.dev", names[1])


def test_a_mark_that_a_person_takes_off_becomes_a_hold(shop: Shop) -> None:
    shop.policy("tiers", retention={"daily": 1})
    first, second, third = [_tiered(shop, "tiers") for _ in range(3)]

    marked = shop.kubectl.until(
        "the second, which no tier keeps, to be marked",
        lambda: _with(shop, second, "delete-after"),
        60,
    )
    assert PREFIX + "marked-at" in marked["metadata"]["annotations"]
    assert "daily" in ours(shop.kubectl.get("volumesnapshot", first))
    assert "delete-after" not in ours(shop.kubectl.get("volumesnapshot", third))

    shop.label(second, delete_after=None)
    shop.touch_policy("tiers")

    held = shop.kubectl.until("it to be held", lambda: _with(shop, second, "hold"), 60)
    assert ours(held)["hold"] == "true"
    assert "delete-after" not in ours(held)


def _tiered(shop: Shop, policy: str) -> str:
    """Take a backup that follows the calendar rules; return its snapshot's name.

    Ad-hoc points follow a date instead, so it is relabelled as a person may do.
    """
    backup = shop.backup(policy=policy)
    shop.finished(backup)
    (snapshot,) = shop.snapshots_of(backup)
    name = _name(snapshot)
    shop.label(
        name, retain="daily_weekly_monthly", retain_days=None, delete_after=None, type="cronjob"
    )
    shop.touch_policy(policy)
    shop.kubectl.until(
        "retention to have seen the edit",
        lambda: (
            ours(shop.content(shop.kubectl.get("volumesnapshot", name))).get("retain")
            == "daily_weekly_monthly"
        ),
        60,
    )
    return name


def _with(shop: Shop, snapshot: str, label: str) -> Obj | None:
    found = shop.kubectl.get("volumesnapshot", snapshot)
    return found if label in ours(found) else None


def _name(obj: Obj) -> str:
    return str(obj["metadata"]["name"])
