"""Attempts, lock, records and supervision, under every shell, with a dump that is a command."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.faults.dumps.harness import Container, leftovers, stub_script
from tests.support.waiting import eventually

from backstay.dumps.base import Command, DumpState, State, parse_result

GOOD = 'printf "%s" "good dump" >"$1"'
NEW = 'printf "%s" "new dump, longer" >"$1"'


@contextmanager
def held(
    container: Container, run: str = "run", attempt: int = 1
) -> Iterator[subprocess.Popen[bytes]]:
    """A dump that has written four bytes and goes on when the block ends."""
    gate = container.folder / f"gate-{run}-{attempt}"
    os.mkfifo(gate)
    code = f'printf half >"$1"; exec cat <{gate} >>"$1"'
    process = container.popen(container.stub_start(container.task(run, attempt), code))
    partial = container.beside(".partial")
    try:
        eventually(lambda: partial.is_file() and partial.stat().st_size == 4, "a held dump")
        # Both ends, so that neither cat nor this waits for the other.
        opened = os.open(gate, os.O_RDWR)
        try:
            yield process
        finally:
            os.close(opened)
    finally:
        process.communicate(timeout=120)
    eventually(lambda: not leftovers(process.pid), "the end of every process")


def test_a_dump_is_published_with_its_record(container: Container) -> None:
    assert container.result() == DumpState(State.NONE)
    state = container.start(GOOD)
    assert (state.state, state.bytes, state.engine) == (State.DONE, 9, "stub")
    assert (state.uid, state.gid) == (os.getuid(), os.getgid())
    assert state == container.result()
    assert container.file.read_bytes() == b"good dump"
    assert container.file.stat().st_mode & 0o777 == 0o600
    assert container.beside(".json").stat().st_mode & 0o777 == 0o600
    container.assert_settled()


def test_the_same_attempt_is_dumped_once(dash: Container) -> None:
    first = dash.start(GOOD)
    assert dash.start(NEW) == first
    assert dash.file.read_bytes() == b"good dump"


def test_a_failure_is_on_record_and_the_dump_before_it_stays_whole(container: Container) -> None:
    good = container.start(GOOD, container.task("first"))
    failed = container.start('printf half >"$1"; echo no luck >&2; exit 3')
    assert failed == DumpState(State.FAILED, run="run", attempt=1, exit=3, message="no luck")
    assert container.result() == failed
    assert container.start(GOOD) == failed, "an attempt that failed is not run again"
    assert container.result(container.task("first")) == good
    container.assert_settled()
    assert container.start(NEW, container.task(attempt=2)).state == State.DONE
    assert not container.beside(".failed").exists()


def test_an_empty_dump_fails(dash: Container) -> None:
    assert dash.start(': >"$1"').message == "stub wrote no data"
    assert dash.start(":", dash.task(attempt=2)).message == "stub wrote no data"


def test_a_tool_that_says_nothing_is_described(container: Container) -> None:
    assert container.start("exit 7").message == "stub ended with exit status 7 and no word"
    killed = container.start("kill -KILL $$", container.task(attempt=2))
    assert killed.exit == 137
    assert killed.message is not None
    assert killed.message.startswith("stub ended by signal 9")


def test_nasty_words_become_one_line_of_json(container: Container) -> None:
    said = r'say "hi" \\ $(id) `id` \001\033[1m\ttab\nline \303\251 \360\237\220\230 \377 :9'
    state = container.start(f"printf '{said}' >&2; exit 4")
    assert state.exit == 4
    assert state.message == 'say "hi" \\ $(id) `id` [1m tab line \u00e9 \U0001f418 \ufffd :9'
    raw = container.beside(".failed").read_bytes()
    assert raw.isascii()
    assert raw.count(b"\n") == 1
    json.loads(raw)


def test_the_last_words_are_kept_of_many(container: Container) -> None:
    flood = 'i=0; while [ $i -lt 3000 ]; do echo "warning $i"; i=$((i+1)); done >&2; exit 1'
    message = container.start(flood).message
    assert message is not None
    assert len(message) <= 1024
    assert message.endswith("warning 2998 warning 2999")


def test_while_one_dumps_others_are_refused_and_touch_nothing(container: Container) -> None:
    with held(container, "run", 2) as process:
        assert container.result(container.task(attempt=2)) == DumpState(State.RUNNING, bytes=4)
        assert container.start(NEW, container.task(attempt=2)).state == State.RUNNING
        assert container.start(NEW, container.task("other")) == DumpState(State.BUSY, run="run")
        assert container.start(NEW, container.task(attempt=3)) == DumpState(State.BUSY, run="run")
        lower = DumpState(State.SUPERSEDED, run="run")
        assert container.start(NEW, container.task(attempt=1)) == lower
        assert container.beside(".partial").read_bytes() == b"half"
        assert process.poll() is None
    assert container.result(container.task(attempt=2)).state == State.DONE
    assert container.file.read_bytes() == b"half"


@pytest.mark.parametrize("end", ["exit 0", "exit 1", "kill"])
def test_a_lower_attempt_never_runs_after_a_higher_one(dash: Container, end: str) -> None:
    if end == "kill":
        with held(dash, "run", 2) as process:
            os.killpg(process.pid, 9)
            process.wait(timeout=120)
        assert dash.result(dash.task(attempt=2)).state == State.INTERRUPTED
    else:
        dash.start(f"{GOOD}; {end}", dash.task(attempt=2))
    before = sorted(path.name for path in dash.folder.iterdir())
    assert dash.start(NEW) == DumpState(State.SUPERSEDED, run="run")
    assert dash.result() == DumpState(State.SUPERSEDED, run="run")
    assert sorted(path.name for path in dash.folder.iterdir()) == before


def test_a_dump_that_another_run_replaced_is_superseded(dash: Container) -> None:
    dash.start(GOOD, dash.task("first", 2))
    assert dash.result(dash.task("second")).state == State.NONE
    dash.start(NEW, dash.task("second"))
    gone = DumpState(State.SUPERSEDED, run="second")
    assert dash.result(dash.task("first", 2)) == gone
    assert dash.start(GOOD, dash.task("first", 2)) == gone
    assert dash.file.read_bytes() == b"new dump, longer"
    assert dash.start(GOOD, dash.task("first", 3)).state == State.DONE


def test_a_deadline_ends_a_dump_from_inside(container: Container) -> None:
    container.start(GOOD, container.task("first"))
    late = container.start('printf half >"$1"; exec sleep 60', container.task(seconds=1))
    assert late.message == "deadline of 1 s exceeded"
    assert container.result().message == "deadline of 1 s exceeded"
    container.assert_settled()


def test_a_deadline_ends_a_hash_that_takes_too_long(container: Container, tmp_path: Path) -> None:
    container.start(GOOD, container.task("first"))
    slow = tmp_path / "openssl"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    late = replace(container, programs=str(tmp_path)).start(GOOD, container.task(seconds=3))
    assert late.message == "deadline of 3 s exceeded"
    container.assert_settled()


def test_a_tool_deaf_to_term_is_killed(dash: Container) -> None:
    deaf = 'trap "" TERM; printf half >"$1"; while :; do sleep 1; done'
    start = dash.stub_start(dash.task(), deaf)
    assert start.stdin.count(b"patience=5") == 1
    process = dash.popen(Command(start.argv, start.stdin.replace(b"patience=5", b"patience=1")))
    eventually(dash.beside(".partial").exists, "the dump")
    dash.run(dash.stub("cancel", dash.task()))
    out, _ = process.communicate(timeout=60)
    state = parse_result(out)
    assert (state.message, state.exit) == ("cancelled", 137)


def test_cancel_ends_the_attempt_it_names_and_no_other(container: Container) -> None:
    task = container.task()
    assert container.run(container.stub("cancel", task)) == DumpState(State.NONE)
    with held(container) as process:
        other = container.stub("cancel", container.task("other"))
        assert container.run(other).state == State.BUSY
        assert process.poll() is None
        cancelled = container.run(container.stub("cancel", task))
        assert cancelled.state == State.RUNNING
        out, _ = process.communicate(timeout=120)
    assert parse_result(out).message == "cancelled"
    assert container.run(container.stub("cancel", task)).message == "cancelled"
    assert not container.beside(".partial").exists()
    assert container.start(GOOD, container.task(attempt=2)).state == State.DONE


def test_a_lock_is_stale_when_its_number_means_another_process(container: Container) -> None:
    with held(container, "dead") as process:
        os.killpg(process.pid, 9)
        process.wait(timeout=120)
    lock = container.beside(".lock")
    run, attempt, _, born = (lock / "1").read_text().split()
    (lock / "1").write_text(f"{run} {attempt} {os.getpid()} {born}\n")
    assert container.start(GOOD).state == State.DONE
    container.assert_settled()


def test_a_lock_emptied_by_a_power_loss_is_stale(dash: Container) -> None:
    dash.beside(".lock").mkdir()
    (dash.beside(".lock") / "7").write_bytes(b"")
    assert dash.start(GOOD).state == State.DONE


def test_a_stale_lock_has_one_taker(container: Container) -> None:
    log = container.folder / "log"
    code = f"echo in >>{log}; {NEW}; echo out >>{log}"
    container.beside(".lock").mkdir()
    for turn in range(2):
        generations = [int(path.name) for path in container.beside(".lock").glob("[0-9]*")]
        last = max(generations, default=1)
        (container.beside(".lock") / str(last)).write_text("dead 1 1 0.none\n")
        takers = [
            container.popen(container.stub_start(container.task(f"run{turn}-{i}"), code))
            for i in range(6)
        ]
        states = [parse_result(taker.communicate(timeout=120)[0]).state for taker in takers]
        assert states.count(State.DONE) >= 1
        assert set(states) <= {State.DONE, State.BUSY}
        lines = log.read_text().split()
        assert lines == ["in", "out"] * (len(lines) // 2), "two dumped at once"
        container.assert_settled()


def test_a_client_that_goes_away_changes_nothing(container: Container) -> None:
    with held(container) as process:
        for stream in (process.stdin, process.stdout, process.stderr):
            assert stream is not None
            stream.close()
        process.stdin = process.stdout = process.stderr = None
    assert process.returncode == 0
    assert container.result().state == State.DONE
    container.assert_settled()


def test_a_tool_that_reads_finds_an_end_while_the_stream_stays_open(container: Container) -> None:
    process = container.popen(container.stub_start(container.task(), 'cat >"$1"; echo x >>"$1"'))
    process.wait(timeout=120)
    process.communicate()
    assert container.result().state == State.DONE
    assert container.file.read_bytes() == b"x\n"


def test_half_a_script_does_nothing(container: Container) -> None:
    whole = stub_script()
    start = container.stub_start(container.task(), GOOD)
    last = len(b'"; exit\n')  # with that quote the script is complete
    ends = [*range(0, len(whole), len(whole) // 25), *range(len(whole) - 20, len(whole) - last + 1)]
    for end in ends:
        process = container.popen(Command(start.argv, whole[:end]))
        out, _ = process.communicate(timeout=120)
        assert b"done" not in out
        assert list(container.folder.iterdir()) == []


def test_what_cannot_be_a_dump_file_is_refused(dash: Container) -> None:
    def message(file: Path | str, run: str = "run", attempt: int = 1) -> str:
        task = replace(dash.task(run, attempt), file=str(file))
        answer = dash.start(GOOD, task)
        assert answer == dash.result(task)
        assert (answer.state, answer.exit) == (State.FAILED, 2)
        return answer.message or ""

    folder = dash.folder
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "dir").mkdir()
    (folder / "half.partial").symlink_to("/etc/passwd")
    (folder / "plain.lock").write_text("")
    before = sorted(folder.rglob("*"))
    assert "absolute" in message("shop.dump")
    assert "slash" in message(f"{folder}/")
    assert "not a regular file" in message(folder / "link")
    assert "not a regular file" in message(folder / "dir")
    assert "half.partial is not a regular file" in message(folder / "half")
    assert "plain.lock is not a directory" in message(folder / "plain")
    assert "RUN must be" in message(dash.file, run='a"b')
    assert "ATTEMPT must be" in message(dash.file, attempt=0)
    assert sorted(folder.rglob("*")) == before


def test_the_folder_is_made_when_its_parent_exists(dash: Container) -> None:
    task = dash.task()
    inner = replace(task, file=str(dash.folder / "in side" / "x.dump"))
    assert dash.start(GOOD, inner).state == State.DONE
    assert (dash.folder / "in side").stat().st_mode & 0o777 == 0o700
    deep = replace(task, file=str(dash.folder / "no" / "no" / "x"))
    assert "No such file or directory" in (dash.start(GOOD, deep).message or "")
    assert not (dash.folder / "no").exists()


def test_a_file_that_was_changed_is_not_called_done(dash: Container) -> None:
    dash.start(GOOD)
    dash.file.write_bytes(b"short")
    assert dash.result().state == State.INTERRUPTED
    assert dash.start(GOOD).state == State.DONE
    dash.file.unlink()
    assert dash.result().state == State.INTERRUPTED


def test_a_publication_killed_between_its_renames_counts(container: Container) -> None:
    container.start(GOOD, container.task("first"))
    old = container.beside(".json").read_bytes()
    new = container.start(NEW)
    container.beside(".json").rename(container.beside(".json.next"))
    container.beside(".json").write_bytes(old)
    assert container.result() == new
    assert container.start("exit 1", container.task(attempt=2)).state == State.FAILED
    container.assert_settled()
    assert container.result() == new or container.result().state == State.SUPERSEDED


def test_a_record_of_a_dump_that_never_came_is_dropped(dash: Container) -> None:
    good = dash.start(GOOD, dash.task("first"))
    record = dash.beside(".json").read_text()
    forged = record.replace('"first"', '"other"').replace(good.sha256 or "", "0" * 64)
    dash.beside(".json.next").write_text(forged)
    assert dash.start("exit 1").state == State.FAILED
    dash.assert_settled()
    assert dash.result(dash.task("first")) == good


def test_a_missing_tool_is_named(dash: Container) -> None:
    missing = dash.stub_start(dash.task(), GOOD)
    script = missing.stdin.replace(b"engine_tools=cat", b"engine_tools='cat no-such-tool'")
    state = dash.run(Command(missing.argv, script))
    assert (state.exit, state.message) == (127, "the container lacks: no-such-tool")
