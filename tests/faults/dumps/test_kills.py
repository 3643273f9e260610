"""The whole script killed at every command that it runs, and what the next attempt makes of it."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from tests.faults.dumps.harness import Container, Shell, leftovers
from tests.support.sampling import sampled
from tests.support.waiting import eventually

from backstay.dumps.base import State

OLD = 'printf "%s" old >"$1"'
NEW = 'printf "%s" new-and-longer >"$1"'
TOOLS = (
    *("mkdir", "rm", "mv", "ln", "tail", "tr", "od", "awk", "sha256sum", "sync", "date"),
    *("id", "stat", "nice", "sh"),
)

# Counts itself; the one whose turn it is takes the whole process group with it, after its work
# where the name of the file KILL_AFTER exists, else before. Two that run side by side may both
# count one too many: then it is theirs.
SHIM = """#!/bin/dash
echo x >>"$COUNT"
n=0
while read -r line; do n=$((n + 1)); done <"$COUNT"
if [ "$KILL_AT" -gt 0 ] && [ "$n" -ge "$KILL_AT" ]; then
    [ -z "$KILL_AFTER" ] || PATH=$REST {tool} "$@"
    kill -KILL 0
fi
PATH=$REST exec {tool} "$@"
"""


@pytest.fixture(scope="module")
def shims(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shims")
    for tool in TOOLS:
        (folder / tool).write_text(SHIM.format(tool=tool))
        (folder / tool).chmod(0o755)
    return folder


@pytest.fixture
def template(dash: Container) -> Container:
    """A folder with the dump of an earlier run in it."""
    assert dash.start(OLD, dash.task("old")).state == State.DONE
    return dash


def commands_of_a_dump(template: Container, shell: Shell, shims: Path) -> int:
    container = kill_at(template, shell, shims, 0, after=False)
    assert container.result(container.task("new")).state == State.DONE
    count = len(container.beside(".count").read_text().split())
    shutil.rmtree(container.folder)
    return count


def kill_at(template: Container, shell: Shell, shims: Path, turn: int, *, after: bool) -> Container:
    """Given a folder to copy, start a dump there that dies with its turn-th command."""
    folder = template.folder / f"killed-{turn}"
    shutil.copytree(template.folder, folder, ignore=shutil.ignore_patterns("killed-*"))
    plain = Container(shell, folder)
    environment = {
        "COUNT": str(plain.beside(".count")),
        "KILL_AT": str(turn),
        "KILL_AFTER": "yes" if after else "",
        "REST": shell.path,
    }
    killed = replace(plain, environment=environment, programs=str(shims))
    process = killed.popen(killed.stub_start(killed.task("new"), NEW))
    process.communicate(timeout=60)
    eventually(lambda: not leftovers(process.pid), "the end of every process")
    # How many commands there are depends on the machine's speed: the last turns may not come.
    reached = len(plain.beside(".count").read_text().split())
    assert process.returncode == (-9 if 0 < turn <= reached else 0)
    return plain


def heals(container: Container, turn: str) -> None:
    """What holds after a kill anywhere, and after the next attempt."""
    container.assert_consistent()
    content = container.file.read_bytes()
    assert content in (b"old", b"new-and-longer"), turn
    state = container.result(container.task("new")).state
    assert state in (State.NONE, State.INTERRUPTED, State.DONE), turn
    assert (state == State.DONE) == (content == b"new-and-longer"), turn
    before = container.result(container.task("old")).state
    assert before == (State.SUPERSEDED if state == State.DONE else State.DONE), turn
    # The same attempt may be sent once more where it left no result; a higher one always may.
    again = container.start(OLD, container.task("new", 1 if state == State.NONE else 2))
    assert again.state == State.DONE, turn
    assert container.file.read_bytes() == b"old", turn
    container.assert_settled()


@pytest.mark.parametrize(
    ("name", "stride", "after"),
    [("dash", 1, False), ("dash", 4, True), ("bash", 9, False), ("busybox", 5, False)],
)
def test_a_kill_anywhere_leaves_a_whole_dump_and_the_next_attempt_heals(
    template: Container,
    shells: dict[str, Shell],
    shims: Path,
    *,
    name: str,
    stride: int,
    after: bool,
) -> None:
    shell = shells[name]
    total = commands_of_a_dump(template, shell, shims)
    assert total > 20

    def one(turn: int) -> None:
        container = kill_at(template, shell, shims, turn, after=after)
        try:
            heals(container, f"{name}, command {turn} of {total}, after={after}")
        finally:
            shutil.rmtree(container.folder)

    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(one, sampled(range(1, total + 1, stride))):
            pass
