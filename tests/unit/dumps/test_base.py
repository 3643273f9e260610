"""Commands as values, and the reading of answers."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from backstay.api.dumps import Postgres, Redis
from backstay.domain.errors import DataError
from backstay.domain.sources.mounts import Lies
from backstay.dumps import ENGINES
from backstay.dumps.base import DumpState, DumpTask, State, parse_result, script

TASK = DumpTask("run-1", 2, "/data/a b/shop.dump", timedelta(seconds=90), 4096)
DONE = {
    "state": "done",
    "run": "run-1",
    "attempt": 2,
    "replacedRun": "",
    "replacedAttempt": 0,
    "sha256": "ab" * 32,
    "bytes": 7,
    "seconds": 3,
    "engine": "postgres",
    "versions": {"server": "15.1", "tool": "17.0"},
    "uid": 70,
    "gid": 70,
    "finishedAt": "2026-11-22T00:32:05Z",
    "format": "custom",
    "compression": "zstd",
    "compressed": True,
    "at": {"real": "/data/a b", "mount": "/data", "apart": False},
    "mounts": ["/data", ""],
}

NO_FACTS = {"compressed", "replacedRun", "replacedAttempt", "mounts"}


def test_arguments_are_positional_and_the_script_is_not_among_them() -> None:
    command = ENGINES["postgres"].start(TASK, Postgres(databases=("-x' $(id)",)))
    assert command.argv == (
        *("/bin/sh", "-s", "--", "start", "run-1", "2", "/data/a b/shop.dump"),
        *("seconds=90", "minfree=4096", "compress=no"),
        *("format=custom", "globals=omit", "--", "-x' $(id)"),
    )
    assert command.stdin.endswith(b'\nmain "$@"; exit\n')


def test_a_dump_is_compressed_if_its_task_says_so() -> None:
    command = ENGINES["redis"].start(replace(TASK, compress=True), Redis())
    assert command.argv[9] == "compress=yes"


def test_a_duration_is_rounded_up_to_whole_seconds() -> None:
    task = DumpTask("run-1", 1, "/f", timedelta(milliseconds=1200))
    assert ENGINES["postgres"].start(task, Postgres()).argv[7] == "seconds=2"


def test_a_result_is_asked_for_with_the_mounts_of_the_container() -> None:
    command = ENGINES["postgres"].result(replace(TASK, mounts=("/data", "/a b")))
    assert command.argv[6:] == ("/data/a b/shop.dump", "/data", "/a b")


@pytest.mark.parametrize("verb", ["result", "cancel"])
def test_other_verbs_take_the_task_alone(verb: str) -> None:
    command = getattr(ENGINES["postgres"], verb)(TASK)
    assert command.argv[3:] == (verb, "run-1", "2", "/data/a b/shop.dump")


def test_a_finished_dump_is_read_with_all_its_facts() -> None:
    assert parse_result(json.dumps(DONE).encode() + b"\n") == DumpState(
        state=State.DONE,
        run="run-1",
        attempt=2,
        sha256="ab" * 32,
        bytes=7,
        seconds=3,
        engine="postgres",
        versions={"server": "15.1", "tool": "17.0"},
        uid=70,
        gid=70,
        finished_at=datetime(2026, 11, 22, 0, 32, 5, tzinfo=UTC),
        format="custom",
        compression="zstd",
        compressed=True,
        at=Lies("/data/a b", "/data"),
        mounts=("/data", ""),
    )


@pytest.mark.parametrize("fact", sorted(DONE.keys() - NO_FACTS))
def test_a_finished_dump_without_a_fact_is_refused(fact: str) -> None:
    reported = {name: value for name, value in DONE.items() if name != fact}
    with pytest.raises(DataError, match="cannot be understood"):
        parse_result(json.dumps(reported).encode())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"sh: syntax error\n",
        b'{"state":"none"}\n{"state":"none"}\n',
        b"motd\n" + b'{"state":"none"}',
        b'{"state":"splendid"}',
        b'{"state":"running"}',
        b'{"state":"running","bytes":-1}',
        b'{"state":"running","bytes":"7"}',
        b'{"state":"failed","exit":1}',
        b'{"state":"busy"}',
        b"[]",
        b"\xff\xfe",
        json.dumps({**DONE, "sha256": "AB" * 32}).encode(),
        json.dumps({**DONE, "finishedAt": "2026-11-22T00:32:05"}).encode(),
    ],
)
def test_what_is_not_ours_is_an_error_that_shows_it(text: bytes) -> None:
    shown = " ".join(text.decode(errors="replace").split())[:100]
    with pytest.raises(DataError) as caught:
        parse_result(text)
    assert repr(shown)[1:-1] in str(caught.value)


def test_a_long_foreign_answer_is_shortened() -> None:
    with pytest.raises(DataError) as caught:
        parse_result(b"x" * 100_000)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("engine", ["command", "mongodb", "mysql", "postgres", "redis", "sqlite"])
def test_no_part_of_a_script_says_again_what_another_says(engine: str) -> None:
    """The last one would win without a word; but for what has a default, to be said once."""
    program = script(engine).decode()
    defined = Counter(re.findall(r"^(\w+)\(\) \{", program, re.MULTILINE))
    defaults = Counter(re.findall(r"^(\w+)\(\) \{ :; \}", program, re.MULTILINE))
    twice = {name: number for name, number in (defined - defaults).items() if number > 1}
    assert not twice
