"""rsync, kept inside one directory, for restores.

Invariants: the side that a tenant can write to is served by an rsync daemon for one connection, on
a socket pair, in a chroot of that directory (so what is swapped for a symlink meanwhile leads
nowhere else); the other side is ours. Whatever rsync ends for is a failure. What single entries it
complains of is up to the caller, who compares what is there afterwards with the manifest.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from backstay.agent.abilities import EVERYTHING, Abilities
from backstay.agent.linux import die_with_parent
from backstay.domain.errors import DataError

# Content. What else an entry has is set from the manifest (target.py): the copy's file system may
# not have it, or have what is its own. Until then nobody else reads a file.
_CONTENT: Final = ("-S", "--chmod=D700,F600")
_FROM: Final = ("--from0", "--files-from=-")
_VANISHED_STATUS: Final = 24
_PARTIAL_STATUS: Final = 23
_SAID: Final = 300
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
    able: Abilities = EVERYTHING,
) -> str:
    """Given a tree of ours, a tenant's directory, and paths below both (none: everything), make
    the second what the first is there, with the links that its file system is able to have; `onto`:
    it has files already, and times prove nothing. Return what rsync says of entries that it could
    not make, "" if there are none.

    Raise DataError if rsync fails.
    """
    options = ["--recursive", "--delete"]
    options += ["--links"] if able.symlinks else []
    options += ["--hard-links"] if able.hard_links else []
    options += ["--checksum"] if onto else []
    options += [f"--bwlimit={max(1, bandwidth // 1024)}"] if bandwidth else []
    options += _FROM if names else []
    with _module(target) as module:
        ends = (f"/proc/self/fd/{source}/", "rsync://localhost/module/")
        done = subprocess.run(
            ["rsync", *_CONTENT, *options, *ends],
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
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode not in {0, _VANISHED_STATUS, _PARTIAL_STATUS}:
        raise DataError(f"rsync ended with status {done.returncode}: {said[-500:]}")
    return said[:_SAID] if done.returncode == _PARTIAL_STATUS else ""


@contextmanager
def _module(fd: int) -> Iterator[Path]:
    """The configuration of a daemon whose one module is a directory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rsyncd.conf")
        path.write_text(_CONFIGURATION.format(fd=fd), encoding="utf-8")
        yield path
