"""Restores from repositories that are damaged, away or in use, and restores that are killed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.faults.repository.between import Between, refusal
from tests.faults.repository.harness import Depot, fill, finished
from tests.faults.repository.restoring import (
    RESTORE,
    find,
    looks,
    recorded,
    restore,
)
from tests.faults.repository.storing import RUN, stored, task
from tests.faults.repository.watched import calls, dies_at, dies_in, packs, watched


def test_a_truncated_pack_is_damage_and_never_a_restore(kept: Depot, tmp_path: Path) -> None:
    data, _ = recorded(kept)
    largest = packs(kept)[0]
    largest.chmod(0o600)
    os.truncate(largest, largest.stat().st_size // 2)

    done = restore(kept, data, tmp_path / "new")

    assert (done.code, done.reason) == (1, "Damaged"), done
    assert "were not restored as they were stored" in done.result["message"]
    assert (tmp_path / "new/.backstay-restoring").exists()


def test_a_pack_that_is_gone_is_damage_and_never_a_restore(kept: Depot, tmp_path: Path) -> None:
    data, _ = recorded(kept)
    packs(kept)[0].unlink()

    done = restore(kept, data, tmp_path / "new")

    assert (done.code, done.reason) == (1, "Damaged"), done


def test_what_can_be_had_of_a_damaged_snapshot_is_had_by_who_asks_for_that(
    kept: Depot, tmp_path: Path
) -> None:
    data, _ = recorded(kept)
    packs(kept)[0].unlink()

    done = restore(kept, data, tmp_path / "new", acknowledge=["Unverified"])

    assert done.code == 0, done
    assert "were not restored" in done.result["acknowledged"]["Unverified"]
    assert (tmp_path / "new/link").is_symlink()


def test_killed_at_any_call_of_restic_the_next_try_ends_with_all_of_it(
    kept: Depot, tmp_path: Path
) -> None:
    data, _ = recorded(kept)
    wanted = looks(kept.source)
    kills = 0
    while True:
        target = tmp_path / f"new-{kills}"
        target.mkdir()
        log = tmp_path / "watched/calls"
        log.unlink(missing_ok=True)
        mortal = watched(kept, dies_at(kills + 1))
        more = {"snapshot": data, "restore": RESTORE, "target": {"root": str(target)}}
        process = mortal.start("repository-restore", mortal.task(**more))
        process.communicate()
        if process.returncode == 0:
            break
        kills += 1

        done = restore(kept, data, target)

        assert done.code == 0, (kills, done)
        assert looks(target) == wanted
    assert kills == len(calls(mortal)) >= 3


def test_killed_while_it_writes_the_next_try_ends_with_all_of_it(
    kept: Depot, tmp_path: Path
) -> None:
    (kept.source / "large").write_bytes(os.urandom(20_000_000))
    data, _ = recorded(kept)
    script = dies_in(" restore ").replace("{restic}", str(kept.restic / "restic"))
    mortal = watched(kept, script)
    target = tmp_path / "new"
    target.mkdir()
    more = {"snapshot": data, "restore": RESTORE, "target": {"root": str(target)}}
    process = mortal.start("repository-restore", mortal.task(**more))
    process.communicate()
    assert process.returncode < 0

    done = restore(kept, data, target)

    assert done.code == 0, done
    assert looks(target) == looks(kept.source)


def test_a_server_that_refuses_to_give_data_is_said_to_and_nothing_is_claimed(
    watched_by: Depot, between: Between, tmp_path: Path
) -> None:
    data = stored(watched_by)["data"]
    between.at(r"GET .*/data/", lambda: refusal(403, "AccessDenied", "Access Denied."))

    done = restore(watched_by, data, tmp_path / "new")

    assert done.reason == "AccessDenied", done
    assert done.code != 0
    assert not (tmp_path / "new/a").exists() or (tmp_path / "new/.backstay-restoring").exists()


def test_three_restores_beside_a_backup_all_end_well(made: Depot, tmp_path: Path) -> None:
    data = stored(made)["data"]
    started = []
    for number in range(3):
        target = tmp_path / f"new-{number}"
        target.mkdir()
        more = {"snapshot": data, "restore": RESTORE, "target": {"root": str(target)}}
        started.append(made.start("repository-restore", made.task(**more)))
    before = looks(made.source)
    fill(made.source, ["new"])
    backup = made.start("repository-backup", made.task(**task(made, "nightly-2")))

    assert [finished(one).reason for one in (*started, backup)] == [*["Restored"] * 3, "Stored"]
    assert all(looks(tmp_path / f"new-{number}") == before for number in range(3))


def test_a_restore_of_a_repository_that_may_only_be_read_writes_nothing_to_it(
    kept: Depot, tmp_path: Path
) -> None:
    data, _ = recorded(kept)
    script = watched(kept)
    before = {str(path) for path in Path(kept.local).rglob("*")}
    whole = script.task()["repository"] | {"readOnly": True}

    done = restore(script, data, tmp_path / "new", repository=whole)

    assert done.code == 0, done
    assert {str(path) for path in Path(kept.local).rglob("*")} == before
    assert all("--no-lock" in call for call in calls(script) if "version" not in call)


@pytest.mark.parametrize("changed", ["another", "none"])
def test_what_a_record_names_that_is_not_so_is_no_point(kept: Depot, changed: str) -> None:
    whole, _ = recorded(kept, "r1")
    fill(kept.source, ("new",))
    data, record = recorded(kept, "r2")
    if changed == "none":
        kept.run("forget", record)
    else:
        kept.run("rewrite", "--forget", "--exclude", "new", data)

    found = find(kept, {})

    assert found.code == 0, found
    assert f'"snapshot":"{whole}"' in found.lines[0]


def test_a_snapshot_that_cannot_be_found_is_said_with_what_there_is(kept: Depot) -> None:
    recorded(kept)

    found = find(kept, {"claim": "nowhere"})

    assert (found.code, found.reason) == (3, "ClaimNotInRepository"), found
    assert "there is claim data of namespace shop (1)" in found.result["message"]
    assert found.lines == []
    assert RUN not in found.result["message"]
