"""The commands of a how-to, run as they stand: what a person copies is what was tested."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

GUIDES = Path(__file__).parents[2] / "docs" / "how-to"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


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
        script = self.text(mark)
        for old, new in changes.items():
            assert old in script, f"{old!r} is not in the block of {mark!r}"
            script = script.replace(old, new)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self._folder,
            env={**self._environment, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout
