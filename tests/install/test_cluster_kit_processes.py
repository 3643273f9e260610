"""How the cluster kit recognises, stops and restarts its processes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hack.cluster.kit import layout, processes
from hack.cluster.kit.errors import KitError
from tests.support.waiting import eventually


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, processes.MARKER: "/state/of-this-test"}
    words = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, env=environment) as process:
        yield process
        process.kill()


def test_stat_is_read_past_a_command_with_brackets_and_blanks() -> None:
    text = "42 (a) b (c)) S 1 42 42 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 1 1"

    assert processes.parse_stat(text) == ("S", 987654)


def test_a_process_is_known_by_pid_start_and_boot(child: subprocess.Popen[bytes]) -> None:
    identity = processes.identify(child.pid)

    assert identity is not None
    assert processes.alive(identity)
    other = processes.Identity(identity.pid, identity.started + 1, identity.boot)
    rebooted = processes.Identity(identity.pid, identity.started, "another-boot")
    assert not processes.alive(other)
    assert not processes.alive(rebooted)


def test_another_process_with_a_recorded_pid_is_not_stopped(child: subprocess.Popen[bytes]) -> None:
    identity = processes.identify(child.pid)
    assert identity is not None

    processes.stop([processes.Identity(identity.pid, identity.started - 1, identity.boot)])

    assert child.poll() is None


def test_a_process_is_stopped_and_a_zombie_counts_as_gone(child: subprocess.Popen[bytes]) -> None:
    identity = processes.identify(child.pid)
    assert identity is not None

    processes.stop([identity])

    assert processes.identify(child.pid) is None
    assert child.wait() != 0


def test_owned_processes_are_found_by_their_mark_alone(child: subprocess.Popen[bytes]) -> None:
    mine = processes.owned(Path("/state/of-this-test"))
    others = processes.owned(Path("/state/of-this"))

    assert [one.pid for one in mine] == [child.pid]
    assert others == []


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[processes.Supervisor]:
    root = tmp_path / "cluster"
    root.mkdir()
    yield processes.Supervisor(layout.Layout(root=root, index=0))
    processes.stop(processes.owned(root))


def sleeper(argument: str = "") -> processes.Service:
    words = [sys.executable, "-c", "import signal; signal.pause()", argument]
    return processes.Service("sleeper", words)


def test_a_running_service_is_left_alone(supervisor: processes.Supervisor) -> None:
    assert supervisor.ensure(sleeper())
    before = supervisor.running("sleeper")

    assert not supervisor.ensure(sleeper())
    assert supervisor.running("sleeper") == before


def test_a_changed_service_replaces_its_process(supervisor: processes.Supervisor) -> None:
    supervisor.ensure(sleeper("old"))
    before = supervisor.running("sleeper")
    assert before is not None

    assert supervisor.ensure(sleeper("new"))
    after = supervisor.running("sleeper")
    assert after is not None
    assert after != before
    assert not processes.alive(before)


def test_a_killed_service_is_started_again(supervisor: processes.Supervisor) -> None:
    supervisor.ensure(sleeper())
    before = supervisor.running("sleeper")
    assert before is not None
    processes.stop([before])

    assert supervisor.running("sleeper") is None
    assert supervisor.ensure(sleeper())


def test_a_process_that_was_never_recorded_makes_way(
    supervisor: processes.Supervisor, tmp_path: Path
) -> None:
    supervisor.ensure(sleeper())
    orphan = supervisor.running("sleeper")
    assert orphan is not None
    # In the middle of its exec it has neither arguments nor an environment yet.
    eventually(lambda: processes.arguments(orphan) == list(sleeper().argv), "it to have begun")
    next(tmp_path.rglob("sleeper.json")).unlink()

    assert supervisor.ensure(sleeper())
    assert not processes.alive(orphan)


def test_a_service_that_dies_is_reported_with_its_last_words(
    supervisor: processes.Supervisor,
) -> None:
    words = [sys.executable, "-c", "import time; print('no luck', flush=True); time.sleep(0.3)"]
    supervisor.ensure(processes.Service("unlucky", words))

    with pytest.raises(KitError, match=r"unlucky ended while waiting until (.|\n)*no luck"):
        supervisor.wait("unlucky", lambda: False, seconds=30, what="it is ready")


def test_the_fingerprint_of_a_service_covers_its_configuration() -> None:
    plain = processes.Service("a", ["x"])

    assert plain.fingerprint == processes.Service("b", ["x"]).fingerprint
    assert plain.fingerprint != processes.Service("a", ["x"], configs=["c"]).fingerprint
    assert plain.fingerprint != processes.Service("a", ["x"], env={"K": "v"}).fingerprint
