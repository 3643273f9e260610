"""`python -m backstay.agent VERB [JSON]`: the entry point of Jobs and verify pods.

The contract is docs/design/0014-rolling-agent.md, and 0036-repository-agent.md of what works on
repositories; `verify` says its outcome in words (0006).
"""

from __future__ import annotations

import gc
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from backstay.agent.commands.registry import VERBS
from backstay.agent.fs.failures import Defect, without_descriptors, worded
from backstay.agent.results import LIMIT, answer, text_of
from backstay.agent.tasks import Fields
from backstay.domain.errors import BackstayError, DataError, Transient, UserError
from backstay.domain.stores.repository.failures import RepositoryError

TERMINATION_LOG = Path("/dev/termination-log")
"""What is written here becomes the container's terminated.message (Kubernetes' default path)."""
FAILED, USAGE, REFUSED, BUSY = 1, 2, 3, 75


def main(argv: list[str]) -> int:
    """Given the arguments, run the verb; say the outcome on stdout and in the termination log."""
    text = argv[1] if len(argv) == 2 else os.environ.get("BACKSTAY_TASK", "")
    if not argv or len(argv) > 2 or not text or argv[0] not in {"verify", *VERBS}:
        known = "|".join(("verify", *VERBS))
        sys.stderr.write(f"usage: python -m backstay.agent {known} [JSON, or in BACKSTAY_TASK]\n")
        return USAGE
    return _verify(text) if argv[0] == "verify" else _rolling(argv[0], text)


def _verify(text: str) -> int:
    from backstay.agent.commands.verify_claim import Task, verify  # noqa: PLC0415 - a walk needs none of it

    try:
        outcome, code = verify(Task.parse(text)), 0
    except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for a result
        outcome, code = worded(error).message, FAILED
    _say(outcome)
    return code


def _rolling(verb: str, text: str) -> int:
    began = time.monotonic()
    codes: list[int] = []

    def report(result: dict[str, Any]) -> None:
        seconds = round(time.monotonic() - began, 3)
        _say(text_of({"verb": verb, **result, "seconds": seconds}))
        codes.append(0 if result["ok"] else FAILED)

    try:
        read, run = VERBS[verb]
        try:
            task = read(Fields.parse(text))
        except (DataError, UserError) as wrong:
            report(answer("BadTask", wrong.message, ok=False))
            return USAGE
        run(task, report)
    except Exception as raw:  # noqa: BLE001 - whatever it is, somebody waits for a result
        error = worded(raw)
        if isinstance(error, Defect):
            traceback.print_exception(raw)
        if not codes:
            message = without_descriptors(error.message)
            more = error.more if isinstance(error, RepositoryError) else {}
            report(answer(_reason(error), message, ok=False, **more))
            return _code(error)
        # The answer stands: what was done must not be done again because of what came after it.
        sys.stderr.write(f"after the answer: {error.message}\n")
    return max(codes)


def _reason(error: BackstayError) -> str:
    if isinstance(error, UserError | RepositoryError):
        return error.reason
    if isinstance(error, Transient):
        return "Busy"
    return "Failed" if type(error) is DataError else type(error).__name__


def _code(error: BackstayError) -> int:
    if isinstance(error, RepositoryError):
        return error.status
    if isinstance(error, UserError):
        return REFUSED
    return BUSY if isinstance(error, Transient) else FAILED


def _say(outcome: str) -> None:
    sys.stdout.write(outcome + "\n")
    sys.stdout.flush()
    if TERMINATION_LOG.exists():
        TERMINATION_LOG.write_text(outcome[:LIMIT], encoding="utf-8")


if __name__ == "__main__":
    # It lives for one task and makes no rings; looking for them takes a tenth of a walk's time.
    gc.disable()
    sys.exit(main(sys.argv[1:]))
