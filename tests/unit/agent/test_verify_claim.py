"""The agent's verification of a restored claim, on real files."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from backstay.agent import __main__ as agent
from backstay.agent.commands.verify_claim import BLOCK, Task, verify
from backstay.domain.errors import DataError

DATA = b"dump" * BLOCK  # read in several blocks


def task(mount: Path, *, data: bytes = DATA, path: str = "backstay/shop.dump") -> str:
    sha256 = hashlib.sha256(data).hexdigest()
    dump = {"name": "shop", "path": path, "bytes": len(data), "sha256": sha256}
    return json.dumps({"mount": str(mount), "dumps": [dump]})


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    (tmp_path / "backstay").mkdir()
    (tmp_path / "backstay" / "shop.dump").write_bytes(DATA)
    return tmp_path


def refusal(text: str) -> str:
    with pytest.raises(DataError) as caught:
        verify(Task.parse(text))
    return caught.value.message


def test_a_dump_as_recorded_passes(mount: Path) -> None:
    assert verify(Task.parse(task(mount))) == f"dump shop: {len(DATA)} bytes, sha256 as recorded"


def test_every_dump_is_checked(mount: Path) -> None:
    (mount / "other.dump").write_bytes(b"x")
    both = json.loads(task(mount))
    both["dumps"] += json.loads(task(mount, data=b"x", path="other.dump"))["dumps"]

    assert verify(Task.parse(json.dumps(both))).count("as recorded") == 2
    (mount / "other.dump").write_bytes(b"y")
    assert "other.dump does not have the sha256 on record" in refusal(json.dumps(both))


def test_a_dump_that_is_missing_fails(mount: Path) -> None:
    assert refusal(task(mount, path="gone")) == "dump shop: gone: No such file or directory"


def test_a_dump_of_another_size_fails(mount: Path) -> None:
    assert refusal(task(mount, data=b"four")) == (
        f"dump shop: backstay/shop.dump has {len(DATA)} bytes, 4 are on record"
    )


def test_a_dump_of_the_same_size_but_other_bytes_fails(mount: Path) -> None:
    assert refusal(task(mount, data=b"pmud" * BLOCK)) == (
        "dump shop: backstay/shop.dump does not have the sha256 on record"
    )


def test_what_is_no_file_fails_and_does_not_hang(mount: Path) -> None:
    os.mkfifo(mount / "pipe")

    assert refusal(task(mount, path="backstay")) == "dump shop: backstay: Is a directory"
    assert refusal(task(mount, path="pipe")) == "dump shop: pipe is not a regular file"


def test_a_claim_without_dumps_must_only_be_mounted(mount: Path) -> None:
    wanted = Task(mount, ())

    assert verify(wanted) == "the claim is mounted, 1 entries at its root"


def test_a_claim_whose_root_is_another_users_counts_as_mounted(
    mount: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tests may run as root, who is refused nothing.
    def refused(_: Path) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("backstay.agent.commands.verify_claim.os.listdir", refused)

    assert verify(Task(mount, ())) == "the claim is mounted; its root is closed to other users"
    assert "sha256 as recorded" in verify(Task.parse(task(mount)))


def test_a_claim_that_is_not_there_fails(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the claim cannot be read: No such file or directory"):
        verify(Task(tmp_path / "gone", ()))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "{}",
        '{"mount": "/x"}',
        '{"mount": 1, "dumps": []}',
        '{"mount": "/x", "dumps": [{"name": "a"}]}',
        '{"mount": "/x", "dumps": ["a"]}',
        '{"mount": "/x", "dumps": [{"name": "a", "path": "b", "bytes": "x", "sha256": "c"}]}',
    ],
)
def test_a_task_that_cannot_be_read_fails(text: str) -> None:
    with pytest.raises(DataError, match="the verify task cannot be read"):
        Task.parse(text)


def test_the_outcome_is_said_on_stdout_and_to_kubernetes(
    mount: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = tmp_path / "termination-log"
    log.touch()
    monkeypatch.setattr(agent, "TERMINATION_LOG", log)

    codes = agent.main(["verify", task(mount)]), agent.main(["verify", task(mount, data=b"four")])

    assert codes == (0, 1)
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith("sha256 as recorded")
    assert said[1] == log.read_text()
    assert "4 are on record" in said[1]


@pytest.mark.parametrize("arguments", [[], ["verify"], ["bake", "{}"]])
def test_other_words_are_answered_with_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert agent.main(arguments) == 2
    assert capsys.readouterr().err.startswith("usage: python -m backstay.agent verify")
