"""rsync, kept inside one directory: where bandwidth is limited, and for restores.

Invariants: the side that a tenant can write to is served by an rsync daemon for one connection, on
a socket pair, in a chroot of that directory (so what is swapped for a symlink meanwhile leads
nowhere else); the other side is ours. Files that vanish are a note and no failure, anything
else that rsync complains of is one. Never --inplace: a tree shares its inodes with older ones.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from backstay.agent.build import Built
from backstay.agent.files import hash_file, open_file
from backstay.agent.linux import die_with_parent, syncfs
from backstay.agent.listing import Stat, stat_of
from backstay.agent.parallel import batches, spread
from backstay.agent.paths import VANISHED, Descent
from backstay.agent.place import How
from backstay.agent.spot import Plan
from backstay.domain.errors import DataError

# Everything that -a has but recursion, and what it leaves out; times to the nanosecond.
_EVERYTHING: Final = ("-lptgoD", "-HAXS", "--numeric-ids", "--modify-window=-1")
_FROM: Final = ("--from0", "--files-from=-")
_THEIRS: Final = "rsync://localhost/module/"
_VANISHED_STATUS: Final = 24
_PARTIAL_STATUS: Final = 23
_GONE: Final = re.compile(
    rb"file has vanished: .*|.*: (No such file or directory \(2\)|Not a directory \(20\))"
    rb"( \(in module\))?|rsync (error|warning): some files.*"
    rb"|rsync: \[Receiver\] read error: Connection reset by peer \(104\)"
)
"""What rsync says of an entry that went away, in each of the moments in which it may go; and after
that of the daemon, which has ended then. A daemon that dies on the way is another status.
"""
_TRIES: Final = 3
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
read only = {read_only}
"""


def pull(source: int, target: int, names: Sequence[bytes], bandwidth: int) -> None:
    """Given a tenant's directory, ours, paths of files below both and bytes a second (0: no
    limit), copy those files. What has vanished is left out. Raise DataError if rsync fails.

    An entry that goes between two looks of rsync at it ends with 23 instead of 24: that is no
    failure if rsync speaks of nothing else.
    """
    options = ("--no-recursive", "--no-implied-dirs", "--ignore-times", "--ignore-missing-args")
    with _module(source, read_only=True) as module:
        _run(
            [*options, *_limit(bandwidth), *_FROM, _THEIRS, f"/proc/self/fd/{target}/"],
            module,
            (source, target),
            names,
            may_vanish=True,
        )


def push(source: int, target: int, names: Sequence[bytes], *, onto: bool, bandwidth: int) -> None:
    """Given a tree of ours, a tenant's directory, and paths below both (none: everything), make
    the second what the first is there; `onto`: it has files already, and times prove nothing.

    Raise DataError if rsync fails.
    """
    options = ["--recursive", "--delete", *(["--checksum"] if onto else []), *_limit(bandwidth)]
    options += _FROM if names else ()
    with _module(target, read_only=False) as module:
        ends = (f"/proc/self/fd/{source}/", _THEIRS)
        # A name that begins with `#` or `;` would be a comment.
        _run([*options, *ends], module, (source, target), [b"./" + name for name in names])


def _limit(bandwidth: int) -> list[str]:
    return [f"--bwlimit={max(1, bandwidth // 1024)}"] if bandwidth else []


@contextmanager
def _module(fd: int, *, read_only: bool) -> Iterator[Path]:
    """The configuration of a daemon whose one module is a directory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rsyncd.conf")
        word = "yes" if read_only else "no"
        path.write_text(_CONFIGURATION.format(fd=fd, read_only=word), encoding="utf-8")
        yield path


def _run(
    words: Sequence[str],
    module: Path,
    open_files: tuple[int, int],
    names: Sequence[bytes],
    *,
    may_vanish: bool = False,
) -> None:
    done = subprocess.run(
        ["rsync", *_EVERYTHING, *words],
        input=b"".join(name + b"\0" for name in names),
        # Makes it talk to a program instead of to a host (rsync(1)).
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "RSYNC_CONNECT_PROG": f"rsync --daemon --config={module} .",
        },
        pass_fds=open_files,
        capture_output=True,
        check=False,
        preexec_fn=die_with_parent,
    )
    gone = all(_GONE.fullmatch(line) for line in done.stderr.splitlines() if line)
    if may_vanish and done.returncode == _PARTIAL_STATUS and gone:
        return
    if done.returncode not in {0, _VANISHED_STATUS}:
        said = done.stderr.decode(errors="replace").strip()[-500:]
        raise DataError(f"rsync ended with status {done.returncode}: {said}")


def copy_deferred(plan: Plan, built: Built, bandwidth: int) -> None:
    """Given a built tree with files whose content is still to come, have rsync copy those, hash
    them, and do those again that changed meanwhile.
    """
    left = list(built.deferred)
    for attempt in range(_TRIES):
        if not left:
            return
        # What clean_pages() is for where we read ourselves.
        syncfs(plan.source)
        pull(plan.source, plan.new, left, bandwidth)
        left = _record(plan, built, left, last=attempt == _TRIES - 1)


def _record(plan: Plan, built: Built, paths: list[bytes], *, last: bool) -> list[bytes]:
    """Enter what was copied into its listing; return what changed while it was copied."""
    again = []
    units = batches([(path, 1) for path in paths], 256)
    for answers in spread(lambda unit: _compare(plan, unit), units, plan.processes):
        for path, digest, there, now in answers:
            parent, _, name = path.rpartition(b"/")
            listing = built.listings[parent]
            at = listing.index(name)
            if there is None:
                if now is not None and not last:
                    again.append(path)  # it is back, or was left out
                    continue
                built.vanished.append(path)
                del listing.names[at], listing.stats[at], listing.extras[at]
                continue
            listing.extras[at] = digest
            moved = now != listing.stats[at]
            if moved and not last and now is not None:
                listing.stats[at] = now
                again.append(path)
                continue
            built.how = built.how.plus(How(copied=1, copied_bytes=there.size))
            if moved:
                built.moved.append(path)
                # What was copied; no inode has this ctime, so the next run takes it for changed.
                listing.stats[at] = there._replace(ctime=0, links=1)
    return again


_Compared = tuple[bytes, bytes, Stat | None, Stat | None]
"""A path, the hash of its copy, the copy's inode, and the source's now (None: gone)."""


def _compare(plan: Plan, paths: list[bytes]) -> list[_Compared]:
    source, new = Descent(plan.source), Descent(plan.new)
    found: list[_Compared] = []
    for path in paths:
        parent, _, name = path.rpartition(b"/")
        try:
            fd = open_file(name, new(parent))
        except OSError as error:
            if error.errno not in VANISHED:
                raise
            digest, there = b"", None
        else:
            try:
                digest, there = hash_file(fd)[0], stat_of(os.fstat(fd))
            finally:
                os.close(fd)
        now = None
        try:
            now = stat_of(os.stat(name, dir_fd=source(parent), follow_symlinks=False))
        except OSError as error:
            if error.errno not in VANISHED:
                raise
        found.append((path, digest, there, now))
    source.close()
    new.close()
    return found
