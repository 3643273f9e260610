"""rsync, kept inside one directory, for restores.

Invariants: the side that a tenant can write to is served by an rsync daemon for one connection, on
a socket pair, in a chroot of that directory (so what is swapped for a symlink meanwhile leads
nowhere else); the other side is ours. Whatever rsync ends for is a failure. What single entries it
complains of is up to the caller, who compares what is there afterwards with the manifest.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from backstay.agent.fs.abilities import EVERYTHING, Abilities
from backstay.agent.fs.syscalls import die_with_parent
from backstay.domain.errors import DataError

# Content. What else an entry has is set from the manifest (arrival.py): the copy's file system may
# not have it, or have what is its own. Until then nobody else reads a file.
_CONTENT: Final = ("-S", "--chmod=D700,F600")
# Everything that -a has but recursion and links, and what it leaves out; times to the nanosecond.
_EVERYTHING: Final = ("-ptgoD", "-AXS", "--numeric-ids", "--modify-window=-1")
_FROM: Final = ("--from0", "--files-from=-")
_PARTIAL_STATUS: Final = 23
_VANISHED_STATUS: Final = 24
_SAID: Final = 300
_WILD: Final = re.compile(rb"[*?[]")
_CONFIGURATION: Final = """use chroot = yes
uid = 0
gid = 0
numeric ids = yes
munge symlinks = no
reverse lookup = no
log file = /dev/null
pid file =
[module]
path = /proc/self/fd/{fd}
read only = no
"""


def push(
    source: int,
    target: int,
    names: Sequence[bytes],
    *,
    onto: bool,
    bandwidth: int,
    spared: Iterable[bytes] = (),
    removes_first: bool = False,
    everything: bool = False,
    able: Abilities = EVERYTHING,
) -> str:
    """Given a tree of ours, a tenant's directory, and paths below both (none: everything), make
    the second what the first is there, with the links that its file system is able to have; `onto`:
    it has files already, and times prove nothing. What is above the paths is left as it is then,
    and must be there. Spared paths are left too; `removes_first`: what the tree does not have goes
    before anything is written; `everything`: with all that the tree's entries have, where no
    manifest says what they should have.

    Return what rsync says of entries that it could not make, "" if there are none. Raise DataError
    if it fails.
    """
    options: list[str | bytes] = [*(_EVERYTHING if everything else _CONTENT), "--recursive"]
    options += ["--delete-before" if removes_first else "--delete"]
    options += ["--links"] if able.symlinks else []
    options += ["--hard-links"] if able.hard_links else []
    options += ["--checksum", "--no-implied-dirs"] if onto else []
    options += [b"--exclude=" + pattern_of(path) for path in spared]
    options += [f"--bwlimit={max(1, bandwidth // 1024)}"] if bandwidth else []
    options += _FROM if names else []
    done = _run(source, target, names, options)
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode not in {0, _VANISHED_STATUS, _PARTIAL_STATUS}:
        raise DataError(f"rsync ended with status {done.returncode}: {said[-500:]}")
    return said[:_SAID] if done.returncode == _PARTIAL_STATUS else ""


def _run(
    source: int, target: int, names: Sequence[bytes], options: Sequence[str | bytes]
) -> subprocess.CompletedProcess[bytes]:
    with _module(target) as module:
        ends = (f"/proc/self/fd/{source}/", "rsync://localhost/module/")
        return subprocess.run(
            ["rsync", *options, *ends],
            # A name that begins with `#` or `;` would be a comment.
            input=b"".join(b"./" + name + b"\0" for name in names),
            # Makes it talk to a program instead of to a host (rsync(1)).
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "RSYNC_CONNECT_PROG": f"rsync --daemon --config={module} .",
            },
            pass_fds=(source, target),
            capture_output=True,
            check=False,
            preexec_fn=die_with_parent,
        )


def pattern_of(path: bytes) -> bytes:
    """Given a path, return the pattern of an exclude that is this path and no other."""
    # A backslash escapes only where the pattern has a wildcard (rsync(1)).
    escaped = re.sub(rb"([*?[\\])", rb"\\\1", path) if _WILD.search(path) else path
    return b"/" + escaped


@contextmanager
def _module(fd: int) -> Iterator[Path]:
    """The configuration of a daemon whose one module is a directory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rsyncd.conf")
        path.write_text(_CONFIGURATION.format(fd=fd), encoding="utf-8")
        yield path
