"""The kit's S3 server, started for real: trust, users, buckets, restic through it, and its end."""

from __future__ import annotations

import os
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hack.cluster.kit import certificates, cleanup, commands, layout, packages, processes, s3, tools
from hack.cluster.kit.s3_client import Client, Key

# An address of this process: another run of these tests has the same port, but not this.
_PID = os.getpid()
ADDRESS = f"127.{100 + (_PID >> 16)}.{_PID >> 8 & 255}.{_PID & 255}"


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[layout.Layout]:
    """Yield the folder of an instance that has nothing but the S3 server."""
    found = layout.Layout(root=tmp_path_factory.mktemp("s3") / "cluster", index=9)
    found.s3.mkdir(parents=True)
    found.marker.touch()
    yield found
    processes.stop(processes.owned(found.root))


@pytest.fixture(scope="module")
def start(one: layout.Layout) -> Callable[[], bool]:
    cache = layout.cache_from(os.environ)
    program = tools.ensure(cache, [s3.SERVICE])[s3.SERVICE]
    supervisor = processes.Supervisor(one)
    return lambda: s3.up(one, supervisor, program, ADDRESS)


@pytest.fixture
def access(one: layout.Layout, start: Callable[[], bool]) -> s3.Access:
    """Return how the server is reached, which may have to be started again."""
    start()
    found = s3.access(one)
    assert found is not None
    return found


def server(one: layout.Layout) -> processes.Identity:
    found = processes.Supervisor(one).running(s3.SERVICE)
    assert found is not None
    return found


def test_a_second_up_changes_nothing(
    one: layout.Layout, access: s3.Access, start: Callable[[], bool]
) -> None:
    before = server(one)

    assert not start()
    assert server(one) == before
    assert s3.access(one) == access


def test_a_killed_server_is_started_again_with_its_objects(
    one: layout.Layout, access: s3.Access, start: Callable[[], bool]
) -> None:
    client = access.client(s3.WRITER)
    assert client.send("PUT", f"/{s3.BUCKET}/kept", body=b"words").status == 200
    processes.stop([server(one)], grace=0)

    assert start()
    assert s3.access(one) == access
    assert client.send("GET", f"/{s3.BUCKET}/kept").body == b"words"


def test_the_server_is_trusted_by_its_own_ca_alone(access: s3.Access, tmp_path: Path) -> None:
    certificates.ensure_authority(tmp_path, "another-ca")
    other = Client(access.endpoint, tmp_path / "ca.crt", access.region, access.keys[s3.ADMIN])

    with pytest.raises(ssl.SSLCertVerificationError):
        other.send("GET", "/")
    assert access.client(s3.ADMIN).send("GET", "/").status == 200


def test_a_wrong_secret_is_refused(access: s3.Access) -> None:
    wrong = Key(access.keys[s3.WRITER].id, "guessed")
    client = Client(access.endpoint, Path(access.ca), access.region, wrong)

    assert client.send("GET", f"/{s3.BUCKET}", query={"list-type": "2"}).status == 403


def test_the_writer_puts_gets_and_deletes(access: s3.Access) -> None:
    client = access.client(s3.WRITER)
    path = f"/{s3.BUCKET}/a folder/ä+b"

    assert client.send("PUT", path, body=b"words").status == 200
    assert client.send("GET", path).body == b"words"
    assert client.send("DELETE", path).status == 204
    assert client.send("GET", path).status == 404


def test_the_appender_deletes_locks_and_nothing_else(access: s3.Access) -> None:
    client = access.client(s3.APPENDER)
    lock, data = f"/{s3.BUCKET}/some/prefix/locks/1", f"/{s3.BUCKET}/some/prefix/data/1"
    for path in (lock, data):
        assert client.send("PUT", path, body=b"words").status == 200

    assert client.send("DELETE", lock).status == 204
    assert client.send("DELETE", data).status == 403
    assert client.send("GET", data).body == b"words"


def test_no_user_but_the_admin_changes_a_bucket(access: s3.Access) -> None:
    for user in (s3.WRITER, s3.APPENDER):
        client = access.client(user)
        assert client.send("PUT", f"/{s3.BUCKET}", query={"policy": ""}).status == 403
        assert client.send("DELETE", f"/{s3.BUCKET}").status == 403
        assert client.send("PUT", "/another").status == 403


def test_a_locked_object_outlives_its_deletion(access: s3.Access) -> None:
    client = access.client(s3.WRITER)
    admin = access.client(s3.ADMIN)
    path = f"/{s3.LOCKED_BUCKET}/kept"
    assert client.send("PUT", path, body=b"words").status == 200
    state = admin.send("GET", f"/{s3.LOCKED_BUCKET}", query={"versioning": ""})
    assert b"<Status>Enabled</Status>" in state.body

    # a delete hides it
    assert client.send("DELETE", path).status == 204
    assert client.send("GET", path).status == 404

    # but its version stays, even for the admin
    listed = admin.send("GET", f"/{s3.LOCKED_BUCKET}", query={"versions": ""}).body.decode()
    version = listed.partition("<Version>")[2].partition("<VersionId>")[2].partition("<")[0]
    assert version
    assert admin.send("DELETE", path, query={"versionId": version}).status == 403
    assert admin.send("GET", path, query={"versionId": version}).body == b"words"


@pytest.fixture
def restic(access: s3.Access, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    program = tools.ensure(layout.cache_from(os.environ), ["restic"])["restic"]
    mine = {
        "RESTIC_PASSWORD": "secret",
        "RESTIC_CACHE_DIR": str(tmp_path / "cache"),
        "RESTIC_REPOSITORY": f"s3:{access.endpoint}/{s3.BUCKET}/{tmp_path.name}",
    }

    def run(user: str, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **access.environment(user), **mine}
        argv = [str(program), "--quiet", *words]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)

    return run


def test_restic_adds_with_the_appenders_key_and_forgets_with_the_writers(
    restic: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "file").write_text("words")

    for user, *words in (
        (s3.WRITER, "init"),
        (s3.APPENDER, "backup", str(source)),
        (s3.APPENDER, "restore", f"latest:{source}", "--target", str(target)),
    ):
        done = restic(user, *words)
        assert done.returncode == 0, done.stderr
    assert (target / "file").read_text() == "words"

    # Since restic 0.19: before, a forget that could remove nothing ended with 0.
    forget = ("forget", "latest", "--retry-lock", "0s")
    assert restic(s3.APPENDER, *forget).returncode == 3
    done = restic(s3.WRITER, *forget)
    assert done.returncode == 0, done.stderr


def test_a_shell_gets_what_a_user_needs(
    one: layout.Layout,
    access: s3.Access,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BACKSTAY_CLUSTER_DIR", str(one.root))
    one.kubeconfig.touch()

    assert commands.main(["s3", "--user", s3.APPENDER]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert f"export AWS_SECRET_ACCESS_KEY={access.keys[s3.APPENDER].secret}" in lines
    assert f"export RESTIC_REPOSITORY=s3:{access.endpoint}/{s3.BUCKET}" in lines


def test_a_cluster_without_the_server_says_how_to_get_it(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path_factory.mktemp("bare")  # a short name: the kit refuses long ones
    monkeypatch.setenv("BACKSTAY_CLUSTER_DIR", str(folder))
    (folder / "admin.kubeconfig").touch()

    assert commands.main(["s3"]) == 1
    assert "run `cluster up --s3`" in capsys.readouterr().err


def test_down_leaves_nothing_of_the_server(
    one: layout.Layout, access: s3.Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "require_root", lambda _: None)
    client, before = access.client(s3.ADMIN), server(one)

    assert cleanup.down(one)

    assert not processes.alive(before)
    assert processes.owned(one.root) == []
    assert not one.root.exists()
    with pytest.raises(ConnectionError):
        client.send("GET", "/")
