"""restic as a process: started with no secret in its arguments, watched, ended with its group.

Invariants: restic does not outlive the agent; what it says is passed on without what is secret;
whoever stops reading its output ends it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Any, Final, cast

from backstay.agent.fs.syscalls import die_with_parent
from backstay.agent.restic.environment import Environment
from backstay.agent.restic.said import OnError, Said, json_objects
from backstay.domain.stores.repository.exits import DONE, judge
from backstay.domain.stores.repository.failures import RepositoryError
from backstay.domain.stores.repository.reasons import Reason

_BLOCK: Final = 1 << 16
_GRACE: Final = 10.0
"""Seconds in which restic removes its lock when it is asked to end."""
_SHOWN: Final = 600
RETRY_LOCK: Final = ("--retry-lock", "2m")
"""For what takes a lock: how long others' are waited for."""
NO_LOCK: Final = "--no-lock"
"""For what only reads: no lock of others stops it, and it needs no right to write one."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a run of restic ended."""

    code: int
    output: bytes
    said: tuple[str, ...]
    """The last lines of its standard error, without what is secret."""
    late: bool
    """It was ended for its deadline, or for repeating what cannot work."""
    cache: str

    def failure(self, doing: str) -> RepositoryError:
        """Given what was being done, return why it failed."""
        verdict = judge(self.code, self.said, cache=self.cache, late=self.late)
        why = " ".join(self.said[-1].split())[:_SHOWN] if self.said else ""
        return RepositoryError(
            verdict.reason, f"{doing}: {verdict.words}" + (f" ({why})" if why else "")
        )

    def check(self, doing: str) -> Done:
        """Given what was being done, raise RepositoryError unless it was done; return this."""
        if self.code != DONE or self.late:
            raise self.failure(doing)
        return self


@dataclass(slots=True)
class Running:
    """A run of restic whose output is being read."""

    process: subprocess.Popen[bytes]
    said: Said
    cache: str
    late: threading.Event = field(default_factory=threading.Event)
    _listener: threading.Thread | None = None

    def chunks(self) -> Iterator[bytes]:
        """Yield its output in pieces, to the end."""
        while chunk := os.read(_stream(self.process.stdout).fileno(), _BLOCK):
            yield chunk

    def objects(self) -> Iterator[dict[str, Any]]:
        """Yield the JSON object of each line of its output."""
        return json_objects(self.chunks())

    def done(self, output: bytes = b"") -> Done:
        """Given its output, if that was kept, wait for its end and return that."""
        code = self.process.wait()
        if self._listener is not None:
            self._listener.join()
        return Done(code, output, tuple(self.said.all()), self.late.is_set(), self.cache)

    def listen(self) -> None:
        """Read its standard error from here on; end it where that says that it cannot succeed."""
        # By another thread, as what it says on its way out is to be read meanwhile.
        self.said.on_hopeless = lambda: threading.Thread(target=self.expire, daemon=True).start()
        stream = _stream(self.process.stderr)
        self._listener = threading.Thread(target=self.said.read, args=(stream,), daemon=True)
        self._listener.start()

    def end(self) -> None:
        """End it and all that it has started: first in a way that it can remove its lock."""
        for number, seconds in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, None)):
            if self.process.poll() is not None:
                break
            self._signal(number)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        # What it has started (rclone) goes with it, and must not keep its standard error open.
        self._signal(signal.SIGKILL)

    def expire(self) -> None:
        """End it for what it waits for, unless it has ended by itself."""
        if self.process.poll() is not None:
            return
        self.late.set()
        self.end()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


class Restic:
    """restic, on one repository."""

    def __init__(self, environment: Environment, *, upload_kib: int = 0, download_kib: int = 0):
        """Given its environment and its limits in KiB a second, 0 for none."""
        self.environment = environment
        limits = (("--limit-upload", upload_kib), ("--limit-download", download_kib))
        self._cache = environment.variables["RESTIC_CACHE_DIR"]
        self._options = [word for name, kib in limits if kib for word in (name, str(kib))]

    def run(
        self, *words: str, seconds: float | None = None, cwd: str | None = None, stdin: bytes = b""
    ) -> Done:
        """Given arguments, a deadline (None: none), a directory and what it reads, run restic to
        its end and return that with the output, whatever its exit code is.
        """
        with self.running(*words, seconds=seconds, cwd=cwd, stdin=stdin) as run:
            output = b"".join(run.chunks())
            return run.done(output)

    @contextmanager
    def running(
        self,
        *words: str,
        seconds: float | None = None,
        cwd: str | None = None,
        stdin: bytes = b"",
        on_error: OnError | None = None,
    ) -> Iterator[Running]:
        """Given the same, and what is called for each entry of the source that cannot be read,
        start restic; read its output inside, and ask how it ended. It is ended if that was not
        asked for.
        """
        run = self._start(
            words, cwd, stdin=bool(stdin), said=Said(self.environment.redact, on_error, self._cache)
        )
        timer = threading.Timer(seconds, run.expire) if seconds is not None else None
        try:
            run.listen()
            if timer is not None:
                timer.start()
            if stdin:
                # A record is no more than a pipe holds, so nobody waits for the other here.
                with suppress(BrokenPipeError), _stream(run.process.stdin) as pipe:
                    pipe.write(stdin)
            yield run
        except RepositoryError as error:
            if error.reason is Reason.INTERRUPTED and run.said.lines:
                error.message += f"; restic said last: {run.said.lines[-1][:_SHOWN]}"
            raise
        finally:
            run.end()
            if timer is not None:
                timer.cancel()
            run.done()
            _stream(run.process.stdout).close()
            _stream(run.process.stderr).close()

    def _start(self, words: Sequence[str], cwd: str | None, *, stdin: bool, said: Said) -> Running:
        process = subprocess.Popen(
            ["restic", "--json", *self._options, *words],
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(self.environment.variables),
            cwd=cwd,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, made ready before
        )
        return Running(process, said, self._cache)


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Have SIGTERM, with which Kubernetes ends a pod, end restic in a way that it removes its lock:
    a first process would ignore it, and leave the lock when it is killed later.
    """

    def stop(*_: object) -> None:
        raise RepositoryError(Reason.INTERRUPTED, "the Job was ended before it was done")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stream(found: IO[bytes] | None) -> IO[bytes]:
    return cast("IO[bytes]", found)  # it was started with pipes
