"""Restores from a repository, with the real restic."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from tests.faults.repository.harness import Depot, fill
from tests.faults.repository.restoring import (
    VOLSYNC,
    absolute_form,
    looks,
    needs_root,
    own_form,
    recorded,
    restore,
)
from tests.faults.repository.storing import stored

MARKER = ".backstay-restoring"


@needs_root
@pytest.mark.parametrize("form", ["volsync", "ours", "absolute"])
def test_what_was_stored_is_there_again_in_all_that_a_claim_has(
    kept: Depot, tmp_path: Path, form: str
) -> None:
    os.chown(kept.source, 70, 71)
    kept.source.chmod(0o750)
    match form:
        case "volsync":
            snapshot, path = own_form(kept, *VOLSYNC), ""
        case "ours":
            snapshot, path = stored(kept)["data"], ""
        case _:
            snapshot, path = absolute_form(kept), str(kept.source)
    target = tmp_path / "new"

    done = restore(kept, snapshot, target, path=path)

    assert (done.code, done.reason) == (0, "Restored"), done
    assert looks(target) == looks(kept.source)
    assert done.result["files"] == 5
    assert (target / "sparse").stat().st_blocks * 512 < 1_000_000
    if form != "volsync":
        top = target.stat()
        assert (top.st_uid, top.st_gid, top.st_mode & 0o7777) == (70, 71, 0o750)


@needs_root
def test_what_we_restore_is_what_restic_alone_restores(kept: Depot, tmp_path: Path) -> None:
    data, _ = recorded(kept)
    alone, ours = tmp_path / "alone", tmp_path / "ours"

    kept.run("restore", data, "--target", str(alone))
    done = restore(kept, data, ours)

    assert done.code == 0, done
    assert looks(ours) == looks(alone)


def test_a_snapshot_that_is_gone_is_missed_and_nothing_is_written(
    kept: Depot, tmp_path: Path
) -> None:
    data, _ = recorded(kept)
    kept.run("forget", data)

    done = restore(kept, data, tmp_path / "new")

    assert (done.code, done.reason) == (3, "SnapshotMissing"), done
    assert list((tmp_path / "new").iterdir()) == []


def test_a_snapshot_whose_tags_were_changed_by_hand_is_the_same(
    kept: Depot, tmp_path: Path
) -> None:
    data, _ = recorded(kept)
    kept.run("tag", "--add", "mine", data)
    assert data not in {s["id"] for s in kept.snapshots()}

    done = restore(kept, data, tmp_path / "new")

    assert done.code == 0, done
    assert (tmp_path / "new/a").read_bytes() == (kept.source / "a").read_bytes()


def test_another_repository_at_that_place_is_not_read(kept: Depot, tmp_path: Path) -> None:
    data, _ = recorded(kept)

    done = restore(kept.known_as("0" * 64), data, tmp_path / "new")

    assert (done.code, done.reason) == (3, "Replaced"), done
    assert list((tmp_path / "new").iterdir()) == []


def test_a_volume_that_somebody_else_has_filled_is_not_mixed_with(
    kept: Depot, tmp_path: Path
) -> None:
    data, _ = recorded(kept)
    target = tmp_path / "used"
    fill(target, ("a", "theirs"))
    before = looks(target)

    done = restore(kept, data, target)

    assert (done.code, done.reason) == (3, "TargetNotEmpty"), done
    assert looks(target) == before


def test_what_another_restore_has_left_is_not_gone_on_with(kept: Depot, tmp_path: Path) -> None:
    data, _ = recorded(kept)
    target = tmp_path / "half"
    fill(target, ("a",))
    (target / MARKER).write_text("restore-0\n")

    done = restore(kept, data, target)

    assert done.reason == "TargetNotEmpty", done


def test_what_a_killed_try_has_left_is_gone_on_with(kept: Depot, tmp_path: Path) -> None:
    data, _ = recorded(kept)
    target = tmp_path / "half"
    fill(target, ("a",))
    (target / MARKER).write_text("restore-1\n")

    done = restore(kept, data, target)

    assert done.code == 0, done
    assert looks(target) == looks(kept.source)


@pytest.mark.parametrize("delete", [False, True])
def test_over_what_is_there_others_stay_or_go(kept: Depot, tmp_path: Path, delete: bool) -> None:
    data, _ = recorded(kept)
    target = tmp_path / "claim"
    fill(target, ("a", "sub/theirs", "theirs/b", "lost+found/c"))

    done = restore(kept, data, target, overwrite=True, delete=delete)

    assert done.code == 0, done
    assert (target / "a").read_bytes() == (kept.source / "a").read_bytes()
    assert (target / "lost+found/c").exists()
    assert not (target / MARKER).exists()
    there = {(target / name).exists() for name in ("sub/theirs", "theirs/b")}
    assert there == {not delete}
    if delete:
        assert looks(target) == looks(kept.source)


def test_chosen_paths_come_back_alone_whatever_they_are_called(kept: Depot, tmp_path: Path) -> None:
    data, _ = recorded(kept)
    odd = "sub/deep/[odd]*name?"
    fill(kept.source, ("sub/deep/[odd]xname!",))
    target = tmp_path / "new"

    done = restore(kept, data, target, include=[odd, "empty", "link"])

    assert done.code == 0, done
    found = {str(p.relative_to(target)) for p in target.rglob("*")}
    assert found == {"sub", "sub/deep", odd, "empty", "link"}
    assert done.result["files"] == 1


def test_a_path_that_the_snapshot_does_not_have_is_missed_before_anything_is_written(
    kept: Depot, tmp_path: Path
) -> None:
    data, _ = recorded(kept)

    done = restore(kept, data, tmp_path / "new", include=["a", "nowhere/b"])

    assert (done.code, done.reason) == (3, "PathMissing"), done
    assert "nowhere/b" in done.result["message"]
    assert list((tmp_path / "new").iterdir()) == []


def test_a_directory_that_the_snapshot_does_not_have_is_missed(kept: Depot, tmp_path: Path) -> None:
    snapshot = absolute_form(kept)

    done = restore(kept, snapshot, tmp_path / "new", path="/data/shop")

    assert (done.code, done.reason) == (3, "PathMissing"), done


def test_a_directory_of_a_claim_comes_back_where_it_was(kept: Depot, tmp_path: Path) -> None:
    data, _ = recorded(kept)
    target = tmp_path / "new"
    target.mkdir()

    done = restore(kept, data, target, target={"root": str(target), "path": "srv/uploads"})

    assert done.code == 0, done
    assert looks(target / "srv/uploads") == looks(kept.source)


def test_a_link_in_the_claim_leads_a_restore_nowhere(kept: Depot, tmp_path: Path) -> None:
    data, _ = recorded(kept)
    target, elsewhere = tmp_path / "claim", tmp_path / "elsewhere"
    target.mkdir()
    elsewhere.mkdir()
    (target / "srv").symlink_to(elsewhere)
    into = {"root": str(target), "path": "srv"}

    done = restore(kept, data, target, target=into, overwrite=True)

    assert (done.code, done.reason) == (3, "NotADirectory"), done
    assert list(elsewhere.iterdir()) == []


def dump(path: str, text: str) -> dict[str, object]:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"name": "shop", "pathInClaim": path, "bytes": len(text), "sha256": digest}


def test_dumps_are_those_on_record(kept: Depot, tmp_path: Path) -> None:
    (kept.source / "shop.dump").write_text("all of it")
    data, _ = recorded(kept, dumps=[dump("shop.dump", "all of it")])

    done = restore(kept, data, tmp_path / "new")

    assert done.code == 0, done
    assert "dump shop: 9 bytes, sha256 as recorded" in done.result["message"]


def test_a_dump_that_is_not_the_one_on_record_fails_the_restore_unless_acknowledged(
    kept: Depot, tmp_path: Path
) -> None:
    (kept.source / "shop.dump").write_text("all of it")
    data, _ = recorded(kept, dumps=[dump("shop.dump", "other one")])

    done = restore(kept, data, tmp_path / "new")
    again = restore(kept, data, tmp_path / "new", acknowledge=["Unverified"])

    assert (done.code, done.reason) == (1, "Different"), done
    assert "does not have the sha256 on record" in done.result["message"]
    assert "add Unverified to spec.acknowledge" in done.result["message"]
    assert again.code == 0, again
    assert "sha256 on record" in again.result["acknowledged"]["Unverified"]


def test_a_dump_that_was_not_asked_for_is_not_missed(kept: Depot, tmp_path: Path) -> None:
    (kept.source / "shop.dump").write_text("all of it")
    data, _ = recorded(kept, dumps=[dump("shop.dump", "other one")])

    assert restore(kept, data, tmp_path / "new", include=["a"]).code == 0


def test_a_secret_is_in_nothing_that_is_said(kept: Depot, tmp_path: Path) -> None:
    data, _ = recorded(kept)

    done = restore(kept, data, tmp_path / "new")

    assert "correct-horse-battery" not in done.everything
