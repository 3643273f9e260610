"""Long-running processes: started once, recognised later, stopped by identity.

Invariants: a process is never recognised by its pid alone, but by pid, start time and boot;
signals go through a pidfd that was opened before the identity was checked, so a reused pid
cannot be hit; every process that the kit starts carries MARKER=<root> in its environment,
and so do its descendants, so `down` finds also those that nobody recorded.
"""

import hashlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .errors import KitError
from .layout import Layout

MARKER = "BACKSTAY_CLUSTER_OWNER"
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Identity:
    """A process for good: `started` in clock ticks since the boot with id `boot`."""

    pid: int
    started: int
    boot: str


@dataclass(frozen=True, slots=True)
class Service:
    """A process that `up` keeps running; a change of argv, env or configs restarts it."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    configs: Sequence[str] = ()

    @property
    def fingerprint(self) -> str:
        whole = json.dumps([list(self.argv), dict(self.env), list(self.configs)])
        return hashlib.sha256(whole.encode()).hexdigest()


def parse_stat(text: str) -> tuple[str, int]:
    """Given /proc/PID/stat, return (state, start time in ticks), see proc(5).

    The second field is the command in brackets and may itself hold blanks and brackets.
    """
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def boot_id() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def identify(pid: int) -> Identity | None:
    """Given a pid, return who it is now, or None if it is gone or a zombie."""
    try:
        state, started = parse_stat((_PROC / str(pid) / "stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else Identity(pid, started, boot_id())


def alive(identity: Identity) -> bool:
    return identify(identity.pid) == identity


def owned(root: Path) -> list[Identity]:
    """Given an instance's root, return all processes with its mark in their environment."""
    mark = f"{MARKER}={root}".encode()
    found = []
    for folder in _PROC.iterdir():
        if not folder.name.isdecimal() or int(folder.name) == os.getpid():
            continue
        try:
            marked = mark in (folder / "environ").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        identity = identify(int(folder.name)) if marked else None
        if identity:
            found.append(identity)
    return found


def arguments(identity: Identity) -> list[str]:
    """Given a process, return its argument vector, empty if it is gone."""
    try:
        whole = (_PROC / str(identity.pid) / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [word.decode(errors="replace") for word in whole.split(b"\0")[:-1]]


def send(identities: Iterable[Identity], number: signal.Signals) -> None:
    """Given identities, signal those that are still who they were."""
    for identity in identities:
        try:
            handle = os.pidfd_open(identity.pid)
        except ProcessLookupError:
            continue
        try:
            if alive(identity):
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            continue
        finally:
            os.close(handle)


def wait_gone(identities: Iterable[Identity], seconds: float) -> list[Identity]:
    """Given identities, wait until they are gone; return those that are not."""
    deadline = time.monotonic() + seconds
    left = [identity for identity in identities if alive(identity)]
    for identity in left:
        try:
            handle = os.pidfd_open(identity.pid)
        except ProcessLookupError:
            continue
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        poller.poll(max(0.0, deadline - time.monotonic()) * 1000)
        os.close(handle)
    return [identity for identity in left if alive(identity)]


def stop(identities: Sequence[Identity], *, grace: float = 5.0) -> None:
    """Given identities, end them: SIGTERM, after `grace` seconds SIGKILL.

    Raise KitError if one outlives even that (it hangs in the kernel).
    """
    send(identities, signal.SIGTERM)
    left = wait_gone(identities, grace)
    send(left, signal.SIGKILL)
    stuck = wait_gone(left, 10)
    if stuck:
        raise KitError(f"processes {[one.pid for one in stuck]} do not end even on SIGKILL")


class Supervisor:
    """The records of an instance's services in run/NAME.json."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def _record(self, name: str) -> Path:
        return self._layout.run / f"{name}.json"

    def log(self, name: str) -> Path:
        return self._layout.logs / f"{name}.log"

    def running(self, name: str) -> Identity | None:
        """Given a service's name, return the process that runs it, or None."""
        try:
            record = json.loads(self._record(name).read_text())
            identity = Identity(**record["identity"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        return identity if alive(identity) else None

    def names(self) -> list[str]:
        return sorted(path.stem for path in self._layout.run.glob("*.json"))

    def ensure(self, service: Service) -> bool:
        """Given a service, leave it running as described; return whether it was started."""
        identity = self.running(service.name)
        if identity:
            record = json.loads(self._record(service.name).read_text())
            if record["fingerprint"] == service.fingerprint:
                return False
            stop([identity])
        # An `up` that was killed between start and record left one that holds the port.
        stop([one for one in owned(self._layout.root) if arguments(one) == list(service.argv)])
        self._start(service)
        return True

    def _start(self, service: Service) -> None:
        self._layout.run.mkdir(parents=True, exist_ok=True)
        self._layout.logs.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, **service.env, MARKER: str(self._layout.root)}
        with self.log(service.name).open("ab") as log:
            process = subprocess.Popen(
                list(service.argv),
                cwd=self._layout.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        # It outlives us on purpose, which Popen would otherwise report as a leak.
        process.returncode = 0
        identity = identify(process.pid)
        if identity is None:
            raise KitError(f"{service.name} ended at once:\n{self.tail(service.name)}")
        record = {"identity": asdict(identity), "fingerprint": service.fingerprint}
        partial = self._record(service.name).with_suffix(".partial")
        partial.write_text(json.dumps(record))
        partial.rename(self._record(service.name))

    def tail(self, name: str) -> str:
        lines = self.log(name).read_text(errors="replace").splitlines()
        return "\n".join(lines[-15:])

    def wait(self, name: str, ready: Callable[[], bool], *, seconds: float, what: str) -> None:
        """Given a service and a check, return once the check holds.

        Raise KitError with the end of its log if the service ends or time runs out.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if self.running(name) is None:
                raise KitError(f"{name} ended while waiting until {what}:\n{self.tail(name)}")
            if time.monotonic() > deadline:
                raise KitError(
                    f"after {seconds:.0f} s it is not so that {what}; "
                    f"{self.log(name)} ends with:\n{self.tail(name)}"
                )
            time.sleep(0.1)
