"""`python -m backstay.agent VERB JSON`: the entry point of verify pods."""

from __future__ import annotations

import sys
from pathlib import Path

from backstay.agent.verify import Task, verify
from backstay.domain.errors import BackstayError

TERMINATION_LOG = Path("/dev/termination-log")
"""What is written here becomes the container's terminated.message (Kubernetes' default path)."""


def main(argv: list[str]) -> int:
    """Given the arguments, run the verb; say the outcome on stdout and in the termination log."""
    if len(argv) != 2 or argv[0] != "verify":
        sys.stderr.write("usage: python -m backstay.agent verify JSON\n")
        return 2
    try:
        outcome, code = verify(Task.parse(argv[1])), 0
    except BackstayError as error:
        outcome, code = error.message, 1
    sys.stdout.write(outcome + "\n")
    if TERMINATION_LOG.exists():
        TERMINATION_LOG.write_text(outcome[:4096], encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
