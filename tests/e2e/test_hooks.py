"""Hooks run around the snapshot, hold over it, and are undone whatever happens to the operator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e import operator_pod
from tests.e2e.disks import Disks
from tests.e2e.kube import Obj
from tests.e2e.shop import Shop

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/policy-hooks.yaml"
LOG = "/var/lib/postgresql/data/hooks.log"
TARGET = {"kind": "StatefulSet", "name": "pg", "container": "postgres"}
HOLDS = "select 1 from pg_locks where locktype = 'advisory'"


def note(word: str) -> list[str]:
    return ["sh", "-c", 'echo "$1" >>"$2"', "hook", word, LOG]


def hooks(**changes: Any) -> Obj:
    """A lock that a session holds, and a command that is undone; both leave notes."""
    session = {
        "command": ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "shop"],
        "begin": "select pg_backup_start('backstay', true); select pg_advisory_lock(7);\n"
        "\\echo READY",
        "end": "select pg_backup_stop();",
    }
    return {
        "before": [
            {"name": "session", "target": TARGET, "session": session},
            {"name": "quiet", "target": TARGET, "command": note("quiet")},
        ],
        "after": [
            {"name": "last", "target": TARGET, "command": note("last")},
            {"name": "quiet", "command": note("loud")},
        ],
        "maxFreeze": "90s",
        **changes,
    }


@pytest.fixture
def clean(shop: Shop) -> Shop:
    """Return the shop without notes of earlier hooks."""
    shop.kubectl.exec("pg-0", "rm", "-f", LOG, container="postgres")
    return shop


def notes(shop: Shop) -> list[str]:
    return shop.kubectl.exec("pg-0", "cat", LOG, container="postgres").split()


def states(backup: Obj) -> dict[str, str]:
    return {h["name"]: h["state"] for h in backup["status"]["hooks"]}


def until_held(shop: Shop, name: str) -> Obj:
    def check() -> Obj | None:
        found = shop.kubectl.get("backups.backstay.dev", name)
        held = [h["state"] for h in found.get("status", {}).get("hooks", [])]
        return found if held == ["Held", "Held"] else None

    return shop.kubectl.until("both hooks to hold", check, 60)


def test_hooks_hold_until_the_snapshot_is_taken_not_until_it_is_ready(
    clean: Shop, disks: Disks
) -> None:
    clean.policy(hooks=hooks())
    with disks.fault("ready-delay", "15", clean.volume()):
        with disks.fault("create-snapshot-delay", "8", clean.volume()):
            name = clean.backup()
            held = until_held(clean, name)
            assert held["status"]["phase"] == "Snapshotting"
            assert held["metadata"]["finalizers"] == ["backstay.dev/hooks"]
            assert clean.sql(HOLDS) == "1"
            assert notes(clean) == ["quiet"]
        clean.kubectl.until_phase("backups.backstay.dev", name, "Uploading")
        assert clean.sql(HOLDS) == ""
        assert notes(clean) == ["quiet", "loud", "last"]
    done = clean.finished(name)
    assert states(done) == {"session": "Done", "quiet": "Done", "last": "Done"}
    assert "finalizers" not in done["metadata"]
    assert done["status"]["hooks"][0]["claims"] == ["data-pg-0"]


@pytest.mark.alone("kills the operator of all namespaces")
def test_killed_while_the_hooks_hold_the_next_operator_releases_them(
    clean: Shop, disks: Disks
) -> None:
    clean.policy(hooks=hooks())
    with disks.fault("create-snapshot-delay", "12", clean.volume()):
        name = clean.backup()
        until_held(clean, name)
        operator_pod.kill(clean.kubectl)
    done = clean.finished(name)
    assert done["status"]["attempt"] == 1
    assert notes(clean) == ["quiet", "loud", "last"]
    assert clean.sql(HOLDS) == ""


def test_a_snapshot_later_than_max_freeze_is_undone_from_inside_and_fails(
    clean: Shop, disks: Disks
) -> None:
    # Long enough for a busy machine to see that they hold.
    clean.policy(hooks=hooks(maxFreeze="15s"))
    with disks.fault("create-snapshot-delay", "40", clean.volume()):
        name = clean.backup()
        until_held(clean, name)
        clean.kubectl.until("the hooks to be undone", lambda: clean.sql(HOLDS) == "", 60)
        failed = clean.finished(name, "Failed")
    assert "maxFreeze" in failed["status"]["message"]
    assert notes(clean) == ["quiet", "loud", "last"]
    (snapshot,) = clean.snapshots_of(name)
    assert snapshot["metadata"]["labels"]["backstay.dev/result"] == "failed"


def test_a_before_hook_that_fails_is_undone_and_no_snapshot_is_taken(clean: Shop) -> None:
    failing = {"name": "quiet", "target": TARGET, "command": ["sh", "-c", "echo no >&2; exit 4"]}
    clean.policy(hooks=hooks(before=[hooks()["before"][0], failing]))

    failed = clean.finished(clean.backup(), "Failed")

    assert "hook quiet: no" in failed["status"]["message"]
    assert clean.snapshots_of(failed["metadata"]["name"]) == []
    assert notes(clean) == ["loud", "last"]
    assert clean.sql(HOLDS) == ""


def test_a_failure_that_is_to_be_ignored_is_reported_and_no_more(clean: Shop) -> None:
    before = [{**h, "onError": "Continue"} for h in hooks()["before"]]
    before[1]["command"] = ["no-such-program"]
    clean.policy(hooks=hooks(before=before))

    done = clean.finished(clean.backup())

    assert "hook quiet: " in done["status"]["message"]
    assert "onError: Continue" in done["status"]["message"]


def test_a_backup_deleted_while_its_hooks_hold_goes_once_they_are_released(
    clean: Shop, disks: Disks
) -> None:
    clean.policy(hooks=hooks())
    with disks.fault("create-snapshot-delay", "20", clean.volume()):
        name = clean.backup()
        until_held(clean, name)
        clean.kubectl.run("delete", "backups.backstay.dev", name, "--timeout=30s")
        assert clean.sql(HOLDS) == ""
        assert notes(clean) == ["quiet", "loud", "last"]


def test_arguments_of_a_command_are_data(clean: Shop) -> None:
    nasty = ["", "-n", "a b", "$(touch /tmp/owned)", "'\"`;\n*", "ü€😀"]
    script = 'shift 0; for w in "$@"; do printf "%s\\0" "$w"; done >"$0"'
    quiet = {"name": "quiet", "target": TARGET, "command": ["sh", "-c", script, LOG, *nasty]}
    clean.policy(hooks=hooks(before=[quiet]))

    clean.finished(clean.backup())

    written = clean.kubectl.exec("pg-0", "head", "--zero-terminated", "-n", "6", LOG)
    assert json.dumps(written.split("\0")[:6]) == json.dumps(nasty)


def test_the_example_does_what_it_says(clean: Shop) -> None:
    spec = yaml.safe_load(EXAMPLE.read_text())["spec"]
    clean.policy("example", **{"dumps": None, "retention": None} | spec)

    done = clean.finished(clean.backup(policy="example"))

    assert states(done) == {"maintenance": "Done", "backup-mode": "Done"}
    assert clean.kubectl.exec("pg-0", "ls", "/tmp", container="postgres").find("maintenance") < 0
