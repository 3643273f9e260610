"""Which server a repository is on, as restic reads it."""

from __future__ import annotations

import pytest

from backstay.agent.restic.preflight import Server, preflight, server_of
from backstay.domain.stores.repository.failures import RepositoryError


@pytest.mark.parametrize(
    ("repository", "server"),
    [
        ("s3:https://s3.example:9000/bucket/path", Server("s3.example", 9000, tls=True)),
        ("s3:http://s3.example/bucket", Server("s3.example", 80, tls=False)),
        ("s3:s3.amazonaws.com/bucket", Server("s3.amazonaws.com", 443, tls=True)),
        ("s3://s3.example/bucket", Server("s3.example", 443, tls=True)),
        ("rest:https://me:word@host:8000/", Server("host", 8000, tls=True)),
        ("s3:https://[::1]:9000/bucket", Server("::1", 9000, tls=True)),
        ("/repository", None),
        ("b2:bucket:path", None),
        ("azure:container:/", None),
        ("rclone:remote:path", None),
        ("sftp:me@host:/path", None),
    ],
)
def test_the_server_is_the_one_that_restic_asks(repository: str, server: Server | None) -> None:
    assert server_of(repository) == server


@pytest.mark.parametrize(
    "repository", ["s3:https://", "s3:https:///bucket", "s3:https://host:port/b", "rest:https://[1"]
)
def test_what_is_no_url_is_said_without_repeating_it(repository: str) -> None:
    with pytest.raises(RepositoryError, match="RESTIC_REPOSITORY") as raised:
        server_of(repository)
    assert raised.value.reason == "Unreachable"
    assert repository not in raised.value.message


def test_what_has_no_server_that_is_known_is_left_to_restic() -> None:
    preflight("/repository", "/no/such/ca")
    preflight("rclone:remote:path", "/no/such/ca")
