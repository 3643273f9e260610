"""The commands of a how-to, run as they stand: what a person copies is what was tested."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.kubectl import Answer

GUIDES = Path(__file__).parents[2] / "docs" / "how-to"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_ASSIGNED = re.compile(r"^\w+=\S+$", re.MULTILINE)
_FILE = re.compile(r"# (\S+)\n")


class Guide:
    """One page of docs/how-to, whose commands run in a folder against one cluster."""

    def __init__(self, name: str, kubeconfig: Path, folder: Path) -> None:
        self._blocks = _BLOCK.findall((GUIDES / name).read_text(encoding="utf-8"))
        self._folder = folder
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "PATH": path}

    def text(self, mark: str, language: str = "sh") -> str:
        """Given text that only one block of the language has, return that block."""
        (found,) = [text for kind, text in self._blocks if kind == language and mark in text]
        return str(found)

    def run(self, mark: str, changes: Mapping[str, str], **variables: str) -> str:
        """Given text that only one block has, what to put in the place of which text, and
        variables of the shell, run the block's commands and return what they print.

        Raise AssertionError if one of them fails.
        """
        script = changed(self.text(mark), changes)
        done = self.shell(script, "-euo", "pipefail", **variables)
        assert done.ok, f"{script}\n{done.out}\n{done.err}"
        return done.out

    @property
    def blocks(self) -> Sequence[tuple[str, str]]:
        """Language and text of each block, from top to bottom."""
        return self._blocks

    def write(self, name: str, text: str) -> None:
        """Given a file's name and text, write it into the folder."""
        (self._folder / name).write_text(text, encoding="utf-8")

    def shell(self, script: str, *options: str, **variables: str) -> Answer:
        """Given commands, options of bash and variables, run them and return what they said."""
        done = subprocess.run(
            ["bash", *options, "-c", script],
            cwd=self._folder,
            env={**self._environment, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        return Answer(done.returncode == 0, done.stdout, done.stderr)


class Reader:
    """A person who follows a page from top to bottom, and skips nothing.

    Commands are pasted as they stand, a block at a time, into a shell that goes on after one that
    failed and keeps its variables. What is no command is written to the file that its first line
    names, or must be said to be only read.
    """

    def __init__(self, guide: Guide) -> None:
        self._guide = guide
        self._left = list(guide.blocks)
        self._assigned: list[str] = []
        self._last = ""

    def step(self, mark: str, changes: Mapping[str, str] | None = None) -> str:
        """Given text of the next block, and what the reader puts in the place of which text there,
        run it or write its file, and return what it printed.

        Raise AssertionError if the next block is another one, or fails.
        """
        said = self.attempt(mark, changes)
        assert said.ok, f"{self._last}\n{said.out}\n{said.err}"
        return said.out

    def attempt(self, mark: str, changes: Mapping[str, str] | None = None) -> Answer:
        """Take the next block as step() does, and return what it said, also if it failed."""
        language, text = self._left.pop(0)
        assert mark in text, f"{mark!r} is not in the next block:\n{text}"
        text = changed(text, changes or {})
        if language != "sh":
            (name,) = _FILE.match(text).groups()  # type: ignore[union-attr]
            self._guide.write(name, text)
            return Answer(True, "", "")
        self._assigned += _ASSIGNED.findall(text)
        self._last = text
        return self._run()

    def again(self) -> str:
        """Paste the last block once more, and return what it printed. Raise as step() does."""
        said = self.attempt_again()
        assert said.ok, f"{self._last}\n{said.out}\n{said.err}"
        return said.out

    def attempt_again(self) -> Answer:
        """Paste the last block once more, and return what it said."""
        return self._run()

    def finish(self) -> None:
        """Raise AssertionError if a block of the page was not taken."""
        assert self._left == []

    def _run(self) -> Answer:
        return self._guide.shell("\n".join([*self._assigned, self._last]))


def changed(text: str, changes: Mapping[str, str]) -> str:
    """Given a block and what to put in the place of which text, return it so. Raise AssertionError
    if one of the texts is not there.
    """
    for old, new in changes.items():
        assert old in text, f"{old!r} is not in {text!r}"
        text = text.replace(old, new)
    return text
