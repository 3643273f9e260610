"""What keeps a repository from being used: each with its reason, by each command, at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hack.cluster.kit import certificates, s3
from hack.cluster.kit.s3_client import Client
from tests.faults.repository.between import Between
from tests.faults.repository.conftest import Furnish
from tests.faults.repository.harness import Depot, Outcome
from tests.faults.repository.storing import backup, busy, refused, stored
from tests.faults.repository.watched import calls, watched
from tests.support.s3_server import Server


def opening(depot: Depot) -> Outcome:
    return depot.agent("repository-open", initialise=True)


def listing(depot: Depot) -> Outcome:
    return depot.agent("repository-list")


ALL = (opening, listing, backup)
"""Each of them looks first whether the repository can be used."""


def all_refused(depot: Depot, reason: str, words: str) -> None:
    for command in ALL:
        assert words in refused(command(depot), reason)


def all_busy(depot: Depot, reason: str, words: str) -> None:
    for command in ALL:
        outcome = command(depot)
        assert words in busy(outcome, reason)
        assert outcome.result["seconds"] < 30


def test_a_wrong_password_is_named(made: Depot) -> None:
    made.give(RESTIC_PASSWORD="another-one")  # noqa: S106
    all_refused(made, "WrongPassword", "RESTIC_PASSWORD")


def test_a_wrong_key_is_named(made: Depot) -> None:
    made.give(AWS_SECRET_ACCESS_KEY="no-such-secret-key")  # noqa: S106
    all_refused(made, "AccessDenied", "credentials")
    made.give(AWS_ACCESS_KEY_ID="nobody-at-all")
    all_refused(made, "AccessDenied", "credentials")


@pytest.mark.parametrize("ca", ["none", "another"])
def test_a_server_that_is_not_trusted_is_sent_nothing(made: Depot, ca: str, tmp_path: Path) -> None:
    certificates.ensure_authority(tmp_path / "pki", "another")
    given = str(tmp_path / "pki/ca.crt") if ca == "another" else ""
    spied = watched(replace(made, ca=given))

    all_refused(spied, "Untrusted", "certificate")

    assert [call for call in calls(spied) if not call.endswith("version")] == []


def test_a_server_that_is_down_is_known_in_seconds(made: Depot, server: Server) -> None:
    server.stop()
    all_busy(made, "Unreachable", "no connection")


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("s3:https://no-such-host.invalid/bucket", "cannot be resolved"),
        ("s3:https://127.0.0.1:1/bucket", "no connection"),
        ("s3:https://127.0.0.1:many/bucket", "no URL"),
    ],
)
def test_a_place_that_is_none_is_known_in_seconds(made: Depot, where: str, words: str) -> None:
    made.give(RESTIC_REPOSITORY=where)
    all_busy(made, "Unreachable", words)


@pytest.mark.parametrize("region", [None, "us-east-1"])
def test_a_missing_bucket_is_named_with_and_without_a_region(
    made: Depot, access: s3.Access, region: str | None
) -> None:
    made.give(RESTIC_REPOSITORY=f"s3:{access.endpoint}/no-such-bucket")
    if region:
        made.give(AWS_DEFAULT_REGION=region)

    all_refused(replace(made, id=""), "BucketMissing", "bucket")


def test_a_repository_that_was_never_there_is_made_by_no_backup_and_no_list(
    depot: Depot, admin: Client
) -> None:
    for command in (listing, backup):
        refused(command(depot), "NoRepository")
    refused(depot.agent("repository-open", initialise=False), "NoRepository")
    assert admin.send("GET", f"/{s3.BUCKET}/{depot.suffix}/config").status == 404


def test_a_repository_that_was_emptied_has_vanished_and_is_not_made_again(
    made: Depot, admin: Client
) -> None:
    stored(made)
    empty(made, admin)

    all_refused(made, "Vanished", made.id[:8])
    assert admin.send("GET", f"/{s3.BUCKET}/{made.suffix}/config").status == 404


def test_another_repository_in_its_place_is_left_alone(made: Depot, admin: Client) -> None:
    stored(made)
    empty(made, admin)
    made.run("init")

    all_refused(made, "Replaced", made.id[:8])
    assert made.snapshots() == []


def empty(depot: Depot, admin: Client) -> None:
    """Empty a repository, as somebody does who has the admin's key."""
    names: list[tuple[str, ...]] = [("config",)]
    for folder in ("snapshots", "index", "keys"):
        names += [(folder, name) for name in depot.run("list", folder, "--no-lock").split()]
    for name in reversed(names):
        path = "/".join((f"/{s3.BUCKET}", depot.suffix, *name))
        assert admin.send("DELETE", path).status < 300


@pytest.mark.parametrize("key", ["RESTIC_PASSWORD", "RESTIC_REPOSITORY"])
def test_a_key_that_the_secret_lacks_is_named(made: Depot, key: str) -> None:
    made.give(**{key: None})
    all_refused(made, "SecretIncomplete", key)


def test_a_secret_or_a_ca_that_is_missing_is_named(made: Depot, tmp_path: Path) -> None:
    all_refused(replace(made, folder=tmp_path / "none"), "SecretIncomplete", "Secret is missing")
    all_refused(replace(made, ca=str(tmp_path / "none")), "SecretIncomplete", "customCA")


@pytest.mark.parametrize("minutes", [-40, 40])
def test_clocks_that_are_far_apart_are_named_before_anything_is_signed(
    watched_by: Depot, between: Between, minutes: int
) -> None:
    between.ahead = timedelta(minutes=minutes)

    all_busy(watched_by, "ClockSkewed", "40 minutes " + ("ahead of" if minutes < 0 else "behind"))

    assert between.requests == ["GET /"] * len(ALL)


def test_a_restic_that_is_too_old_is_refused(made: Depot, tmp_path: Path) -> None:
    old = tmp_path / "old/restic"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 'restic 0.17.3 compiled with go1.23.3 on linux/amd64'\n")
    old.chmod(0o755)

    all_refused(replace(made, path=(str(old.parent),)), "ResticTooOld", "0.17.3")


def test_who_may_not_delete_stores_and_lists(furnish: Furnish, made: Depot) -> None:
    appender = replace(furnish(s3.APPENDER, made.suffix), id=made.id)

    stored(appender)

    listed = listing(appender)
    # Its own locks it may remove.
    assert (listed.result["snapshots"], listed.result["locks"]) == (2, [])


def test_a_repository_in_a_claim_is_known_to_be_missing_and_replaced(
    made: Depot, tmp_path: Path
) -> None:
    local = replace(made, local=str(tmp_path / "claim"), suffix="")
    all_refused(local, "Vanished", made.id[:8])
    local.run("init")
    all_refused(local, "Replaced", made.id[:8])
