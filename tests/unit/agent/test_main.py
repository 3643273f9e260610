"""How a command ends: one answer, and an exit status that says the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backstay.agent import __main__ as agent
from backstay.agent.commands.registry import VERBS
from backstay.agent.results import Report, answer
from backstay.domain.errors import DataError


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    log = tmp_path / "termination-log"
    log.touch()
    monkeypatch.setattr(agent, "TERMINATION_LOG", log)
    return log


def verb(monkeypatch: pytest.MonkeyPatch, run: Callable[[Any, Report], None]) -> None:
    monkeypatch.setitem(VERBS, "prune", (lambda task: task, run))


@pytest.mark.parametrize("error", [DataError("I/O error of a disk"), OSError(5, "I/O error")])
def test_what_fails_after_the_answer_does_not_change_it(
    log: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    def run(_: Any, report: Report) -> None:
        report(answer("Done", "1 points: 1 done"))
        raise error

    verb(monkeypatch, run)
    code = agent.main(["prune", "{}"])

    out, err = capsys.readouterr()
    assert code == 0
    assert [json.loads(line)["reason"] for line in out.splitlines()] == ["Done"]
    assert json.loads(log.read_text())["reason"] == "Done"
    assert "I/O error" in err


def test_what_fails_before_the_answer_is_the_answer(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(task: Any, _: Report) -> None:
        raise DataError(f"the disk cannot be read for {task}")

    verb(monkeypatch, run)
    assert agent.main(["prune", "{}"]) == agent.FAILED
    assert json.loads(capsys.readouterr().out)["reason"] == "Failed"
    assert json.loads(log.read_text())["ok"] is False


@pytest.mark.usefixtures("log")
def test_an_answer_that_could_not_be_written_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = [OSError(28, "No space left on device")]
    say = agent._say

    def say_at_second(outcome: str) -> None:
        if full:
            raise full.pop()
        say(outcome)

    monkeypatch.setattr(agent, "_say", say_at_second)
    verb(monkeypatch, lambda _, report: report(answer("Done", "1 points: 1 done")))
    assert agent.main(["prune", "{}"]) == agent.FAILED
    assert json.loads(capsys.readouterr().out)["reason"] == "Failed"
