"""What the kit says while it works, on stderr: stdout belongs to results."""

import sys
import time
from types import TracebackType


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Progress:
    """One line that is rewritten on a terminal, a line every 10 s elsewhere.

    Given a title, `tick` says how far the work is; leaving the block says how long it took.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._started = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._every = 0.5 if self._terminal else 10.0
        self._printed = self._started
        say(title)

    def tick(self, detail: str) -> None:
        now = time.monotonic()
        if now - self._printed < self._every:
            return
        self._printed = now
        line = f"  {self._title}: {detail}, {now - self._started:.0f} s"
        if self._terminal:
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
        else:
            say(line)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._terminal:
            sys.stderr.write("\r\x1b[K")
        verb = "failed after" if error else "done in"
        say(f"  {self._title}: {verb} {time.monotonic() - self._started:.0f} s")
