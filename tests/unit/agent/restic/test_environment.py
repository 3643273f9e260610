"""restic's environment: what of a Secret gets into it, and what does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from backstay.agent.restic.environment import environment_of
from backstay.agent.restic.repository import Repository
from backstay.domain.stores.repository.failures import RepositoryError

OWN = {"PATH": "/usr/bin", "HTTPS_PROXY": "http://proxy:3128", "HOME": "/root", "SECRET": "x"}
PAIR = {"RESTIC_REPOSITORY": "s3:https://s3/bucket", "RESTIC_PASSWORD": "correct-horse"}


def repository(folder: Path, **keys: str) -> Repository:
    for key, value in keys.items():
        (folder / key).write_text(value)
    return Repository(
        secret=str(folder), path_suffix="", local="", ca="", cache="/cache", id="",
        upload_kib=0, download_kib=0,
    )  # fmt: skip


def test_restic_gets_its_keys_and_nothing_of_the_agents_own_but_its_way(tmp_path: Path) -> None:
    found = environment_of(repository(tmp_path, **PAIR, AWS_ACCESS_KEY_ID="id"), OWN)

    assert found.variables == {
        **PAIR,
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_DEFAULT_REGION": "us-east-1",
        "PATH": "/usr/bin",
        "HTTPS_PROXY": "http://proxy:3128",
        "TZ": "UTC",
        "RESTIC_CACHE_DIR": "/cache",
        "TMPDIR": "/cache",
        "RESTIC_PROGRESS_FPS": "1",
    }
    assert found.ignored == ()


@pytest.mark.parametrize(
    "key",
    [
        "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "RESTIC_COMPRESSION", "RESTIC_PACK_SIZE",
        "RESTIC_REST_PASSWORD", "RESTIC_AWS_ASSUME_ROLE_ARN", "ST_AUTH", "OS_TOKEN_ID",
        "B2_ACCOUNT_KEY", "AZURE_ACCOUNT_SAS", "GOOGLE_PROJECT_ID", "RCLONE_CONFIG_S3_TYPE",
    ],
)  # fmt: skip
def test_the_keys_that_volsync_takes_are_taken(tmp_path: Path, key: str) -> None:
    found = environment_of(repository(tmp_path, **PAIR, **{key: "value"}), OWN)
    assert (found.variables[key], found.ignored) == ("value", ())


@pytest.mark.parametrize(
    "key",
    [
        "RESTIC_PASSWORD_COMMAND", "RESTIC_PASSWORD_FILE", "RESTIC_FROM_PASSWORD_COMMAND",
        "RCLONE_PASSWORD_COMMAND", "RCLONE_SFTP_SSH", "RCLONE_WEBDAV_BEARER_TOKEN_COMMAND",
        "LD_PRELOAD", "PATH", "TMPDIR", "HOME", "AWS_CONFIG_FILE", "HTTPS_PROXY", "GODEBUG",
    ],
)  # fmt: skip
def test_every_other_key_is_named_and_left_out(tmp_path: Path, key: str) -> None:
    found = environment_of(repository(tmp_path, **PAIR, **{key: "trap"}), OWN)
    assert found.ignored == (key,)
    assert "trap" not in found.variables.values()


def test_googles_key_is_a_file_and_kubernetes_own_folders_are_no_keys(tmp_path: Path) -> None:
    (tmp_path / "..2026_11_30").mkdir()
    (tmp_path / "..data").symlink_to("..2026_11_30")
    given = repository(tmp_path, **PAIR, GOOGLE_APPLICATION_CREDENTIALS="{}")

    found = environment_of(given, OWN)

    path = tmp_path / "GOOGLE_APPLICATION_CREDENTIALS"
    assert found.variables["GOOGLE_APPLICATION_CREDENTIALS"] == str(path)
    assert found.ignored == ()


@pytest.mark.parametrize(
    ("place", "suffix", "local", "expected"),
    [
        ("s3:https://s3/bucket", "", "", "s3:https://s3/bucket"),
        ("s3:https://s3/bucket/\n", "/team/a/", "", "s3:https://s3/bucket/team/a"),
        ("", "", "/repository", "/repository"),
        ("s3:https://s3/bucket", "below", "/repository/", "/repository/below"),
    ],
)
def test_the_place_is_the_secrets_or_a_directory_and_the_suffix(
    tmp_path: Path, place: str, suffix: str, local: str, expected: str
) -> None:
    keys = {"RESTIC_REPOSITORY": place} if place else {}
    given = repository(tmp_path, RESTIC_PASSWORD="correct-horse", **keys)  # noqa: S106
    found = environment_of(replace(given, path_suffix=suffix, local=local), OWN)
    assert found.repository == expected


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "missing"),
        ({"note": "nothing"}, "no key that restic takes"),
        ({"RESTIC_PASSWORD": "a"}, "RESTIC_REPOSITORY"),
        ({"RESTIC_REPOSITORY": "a", "RESTIC_PASSWORD": " \n"}, "RESTIC_PASSWORD"),
        ({**PAIR, "AWS_ACCESS_KEY_ID": "a\0b"}, "AWS_ACCESS_KEY_ID"),
    ],
)
def test_what_is_lacking_is_named(tmp_path: Path, keys: dict[str, str], words: str) -> None:
    with pytest.raises(RepositoryError, match=words) as raised:
        environment_of(repository(tmp_path, **keys), OWN)
    assert raised.value.reason == "SecretIncomplete"
    assert raised.value.status == 3
