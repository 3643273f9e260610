"""repository-backup: what becomes a point, and what does not."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.faults.repository.harness import Depot, fill
from tests.faults.repository.storing import (
    RECORD,
    RUN,
    TIME,
    backup,
    records,
    refused,
    restored,
    same_trees,
    stored,
    task,
)
from tests.faults.repository.watched import calls, watched


def test_a_point_is_data_and_a_record_that_names_it(made: Depot, tmp_path: Path) -> None:
    result = stored(made)

    data, record = sorted(made.snapshots(), key=lambda one: "backstay-point" in one["tags"])
    assert (data["id"], data["tree"], record["id"]) == (
        result["data"],
        result["tree"],
        result["record"],
    )
    assert data["tags"] == [
        "backstay", f"run={RUN}", "attempt=1", "policy=nightly", "claim=uploads"
    ]  # fmt: skip
    assert record["tags"][:-1] == [
        "backstay-point", f"run={RUN}", "attempt=1",
        f"data={data['id']}", f"tree={data['tree']}",
    ]  # fmt: skip
    assert (data["hostname"], data["paths"]) == ("shop/uploads", [str(made.source)])
    assert data["time"] == record["time"] == TIME
    assert (result["files"], result["unreadable"], result["vanished"]) == (3, 0, 0)
    assert result["bytes"] == sum(f.stat().st_size for f in made.source.rglob("*") if f.is_file())
    assert result["added"] > 0
    # The root of the tree is the volume's, as VolSync has it.
    assert same_trees(made.source, restored(made, data["id"], tmp_path / "data-again"))
    said = json.loads(
        (restored(made, record["id"], tmp_path / "record") / "record.json").read_text()
    )
    assert said.pop("stored")["files"] == 3
    top = made.source.stat()
    assert said.pop("top") == {"uid": top.st_uid, "gid": top.st_gid, "mode": top.st_mode & 0o7777}
    assert said == RECORD


def test_a_run_that_is_stored_is_found_again_and_stores_nothing(made: Depot) -> None:
    first = stored(made)
    before = made.snapshots()
    fill(made.source, ["new"])

    again = backup(made, attempt=2)

    assert (again.code, again.reason) == (0, "AlreadyStored"), again
    same = ("data", "record", "tree", "files", "bytes", "added", "attempt")
    assert {key: again.result[key] for key in same} == {key: first[key] for key in same}
    assert made.snapshots() == before


def test_an_unchanged_source_adds_next_to_nothing_as_another_run(made: Depot) -> None:
    first = stored(made)
    second = stored(made, "nightly-2", time="2026-11-23T01:02:03Z")

    assert second["tree"] == first["tree"]
    assert second["data"] != first["data"]
    assert second["added"] == 0
    assert len(records(made)) == 2


def test_every_snapshot_is_listed_on_a_line_of_its_own(made: Depot) -> None:
    result = stored(made)
    made.run("backup", ".", "--host", "volsync", cwd=made.source)

    listed = made.agent("repository-list")

    assert (listed.code, listed.reason) == (0, "Listed"), listed
    lines = [json.loads(line) for line in listed.lines]
    assert listed.result["snapshots"] == len(lines) == 3
    assert listed.result["id"] == made.id
    data = next(line for line in lines if line["id"] == result["data"])
    assert data == {
        "id": result["data"],
        "time": TIME,
        "tree": result["tree"],
        "host": "shop/uploads",
        "paths": [str(made.source)],
        "tags": ["backstay", f"run={RUN}", "attempt=1", "policy=nightly", "claim=uploads"],
        "files": 3,
        "bytes": result["bytes"],
    }
    assert [line["host"] for line in lines].count("volsync") == 1


def test_a_snapshot_that_cannot_be_read_is_named_and_hides_no_other(
    made: Depot, admin: Any
) -> None:
    result = stored(made)
    admin_path = f"/backstay/{made.suffix}/snapshots/{result['data']}"
    assert admin.send("PUT", admin_path, body=b"rot" * 100).status == 200
    shutil.rmtree(made.folder / "cache")  # which still has it as it was

    listed = made.agent("repository-list")

    assert (listed.code, listed.result["damaged"]) == (0, [result["data"]]), listed
    assert [json.loads(line)["id"] for line in listed.lines] == [result["record"]]
    # What is left of that run is no point, so it is stored again.
    assert stored(made)["data"] != result["data"]


def test_what_is_excluded_is_left_out_and_lost_found_at_the_top_always(
    made: Depot, tmp_path: Path
) -> None:
    fill(made.source, ["lost+found/x", "sub/lost+found/y", "cache/z", "sub/cache/z", "t/a.tmp"])

    result = stored(made, source={"exclude": ["/cache", "*.tmp"]})

    top = restored(made, result["data"], tmp_path / "again")
    found = {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file()}
    assert found == {"a", "sub/b", "sub/c", "sub/lost+found/y", "sub/cache/z"}


def test_a_pattern_that_is_none_is_refused(made: Depot) -> None:
    refused(backup(made, source={"exclude": ["["]}), "BadExclude")
    assert made.snapshots() == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tags", ["a,b"]),
        ("tags", [""]),
        ("tags", ["run=other"]),
        ("tags", ["backstay-point"]),
        ("host", ""),
        ("time", "yesterday"),
        ("run", "a,b"),
        ("record", {"stored": {}}),
        ("record", {"noise": "".join(hashlib.sha256(bytes([n])).hexdigest() for n in range(250))}),
    ],
)
def test_a_task_that_would_be_misread_later_is_refused(
    made: Depot, field: str, value: object
) -> None:
    outcome = made.agent("repository-backup", **{**task(made), field: value})

    assert (outcome.code, outcome.reason) == (2, "BadTask"), outcome
    assert field in outcome.result["message"]


@pytest.mark.parametrize("leave", [[], ["lost+found/x"]])
def test_an_empty_source_is_refused(made: Depot, leave: list[str]) -> None:
    shutil.rmtree(made.source)
    made.source.mkdir()
    fill(made.source, leave)

    refused(backup(made), "SourceEmpty")
    assert made.snapshots() == []


def test_a_source_of_which_everything_is_excluded_is_refused(made: Depot) -> None:
    refused(backup(made, source={"exclude": ["*"]}), "SourceEmpty")
    assert made.snapshots() == []


def test_a_symlink_on_the_way_to_the_source_is_not_followed(made: Depot, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(made.secret)
    refused(backup(made, source={"path": "way"}), "SourceMissing")
    refused(backup(made, source={"path": "nowhere"}), "SourceMissing")
    refused(backup(made, source={"requireMount": True}), "SourceNotMounted")


def test_a_source_that_has_lost_much_is_no_point_unless_that_is_allowed(made: Depot) -> None:
    was = {"percent": 50, "files": 7, "bytes": 10}
    message = refused(backup(made, shrink=was), "SourceShrunk")
    assert "3 files" in message
    assert "7" in message
    refused(backup(made, shrink={"percent": 50, "bytes": 10**9}), "SourceShrunk")
    assert records(made) == []

    stored(made, shrink={**was, "allow": True})


def test_the_repository_must_be_the_one_that_is_known(made: Depot) -> None:
    refused(backup(made.known_as("0" * 64)), "Replaced")
    assert made.snapshots() == []


def dump_of(depot: Depot, name: str = "dumps/db.sql") -> dict[str, str]:
    path = depot.source / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"insert into" * 100_000)
    return {"name": "db", "path": name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def test_a_dump_that_is_in_the_snapshot_as_it_was_taken_counts(made: Depot) -> None:
    stored(made, dumps=[dump_of(made)])


def test_a_dump_that_was_replaced_is_no_part_of_a_point(made: Depot) -> None:
    dump = dump_of(made)
    (made.source / dump["path"]).write_bytes(b"another")

    refused(backup(made, dumps=[dump]), "DumpChanged")
    assert records(made) == []


def test_a_dump_that_is_missing_or_left_out_is_no_part_of_a_point(made: Depot) -> None:
    dump = dump_of(made)
    refused(backup(made, dumps=[dump], source={"exclude": ["*.sql"]}), "DumpChanged")
    (made.source / dump["path"]).unlink()
    refused(backup(made, dumps=[dump]), "DumpChanged")
    (made.source / dump["path"]).symlink_to("/etc/passwd")
    refused(backup(made, dumps=[dump]), "DumpChanged")
    assert records(made) == []


@pytest.mark.parametrize("at", [" backup ", "snapshots --tag"], ids=["read", "listed"])
def test_a_dump_that_is_replaced_by_the_same_one_meanwhile_is_no_part_of_a_point(
    made: Depot, at: str
) -> None:
    dump = dump_of(made)
    path = made.source / dump["path"]
    again = f'case "$*" in *"{at}"*) cp {path} {path}.new; mv {path}.new {path};; esac'

    refused(backup(watched(made, again), dumps=[dump]), "DumpChanged")
    assert records(made) == []


def test_no_dump_is_downloaded_to_be_compared(made: Depot) -> None:
    seen = watched(made)

    stored(seen, dumps=[dump_of(made)])

    assert not [call for call in calls(seen) if " dump " in f" {call} "]


def test_a_record_that_names_other_data_is_not_taken(made: Depot) -> None:
    result = stored(made)
    true = next(one for one in made.snapshots() if one["id"] == result["record"])
    # given the data under an id that no record names, and the record of it copied by hand
    made.run("forget", result["data"], result["record"])
    made.run("backup", ".", "--tag", "backstay", "--tag", f"run={RUN}", cwd=made.source)
    tags = [word for tag in true["tags"] for word in ("--tag", tag)]
    made.run("backup", str(made.source / "a"), *tags)

    # then it is stored, as if that record were not there
    assert stored(made)["data"] != result["data"]


def test_tags_that_somebody_adds_to_the_data_leave_the_point_what_it_is(made: Depot) -> None:
    result = stored(made)
    made.run("tag", "--add", "seen", result["data"])

    again = backup(made)

    assert again.reason == "AlreadyStored", again
    assert again.result["data"] != result["data"]
    assert again.result["tree"] == result["tree"]


def test_a_repository_in_a_directory_takes_points_as_one_in_s3(depot: Depot) -> None:
    depot.give(RESTIC_REPOSITORY=None)
    local = replace(depot, local=str(depot.folder / "repository"), suffix="below")
    answer = local.agent("repository-open", initialise=True)
    assert answer.reason == "Initialised", answer

    known = local.known_as(answer.result["id"])
    stored(known)
    assert backup(known).reason == "AlreadyStored"
    assert (depot.folder / "repository/below/config").exists()
