"""Where a dump really lies, as its own container sees it: links, mounts inside mounts, subvolumes.

A container is a mount namespace: its claims are file systems in memory, mounted when it starts.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.faults.dumps.harness import Container, Shell

from backstay.domain.errors import UserError
from backstay.domain.sources.mounts import Mount, path_of
from backstay.dumps.base import LAST_LINE, DumpTask, State

MOUNTED = """
set -e
for path in data inner other 'a b'; do mkdir -p "$0/disks/$path"; done
mkdir -p "$0/data" "$0/other" "$0/a b"
mount -t tmpfs data "$0/disks/data"
mount -t tmpfs inner "$0/disks/inner"
mount --bind "$0/disks/data" "$0/data"
mkdir -p "$0/data/inner" "$0/data/plain"
mount --bind "$0/disks/inner" "$0/data/inner"
mount --bind "$0/disks/other" "$0/other"
mount --bind "$0/disks/a b" "$0/a b"
eval "$1"
shift
exec "$@"
"""


def mounts(folder: Path) -> tuple[Mount, ...]:
    """What the pod's spec would say."""
    return (
        Mount(f"{folder}/data", "data", "v"),
        Mount(f"{folder}/data/inner", "", "scratch"),
        Mount(f"{folder}/other", "other", "w", "sub"),
        Mount(f"{folder}/a b", "spaced", "s"),
    )


def inside(container: Container, prepare: str = ":") -> Container:
    """Given a container, return it with its mounts, and what else was done in it at its start."""
    isolate = ("/usr/bin/unshare", "--mount", "/bin/sh", "-c", MOUNTED, str(container.folder))
    shell = replace(container.shell, argv=(*isolate, prepare, *container.shell.argv))
    return replace(container, shell=shell)


BOTH = b"""(main "$@") >/dev/null; main result "$2" "$3" "$4" MOUNTS; exit
"""


def dumped(container: Container, file: str, prepare: str, claim: str) -> str:
    """Dump to a file in the container's folder; return its path on the claim, else why not."""
    folder = container.folder
    task = replace(container.task(), file=f"{folder}/{file}")
    # Both in one container, as its disks are gone with it.
    paths = " ".join(f"'{m.path}'" for m in mounts(folder))
    start = container.stub_start(task, "echo dump >$1")
    last = BOTH.replace(b"MOUNTS", paths.encode())
    command = replace(start, stdin=start.stdin.replace(LAST_LINE, last))
    reported = inside(container, prepare).run(command)
    assert reported.state is State.DONE, reported
    assert reported.at is not None
    try:
        return path_of(task.file, reported.at, mounts(folder), reported.mounts, claim)
    except UserError as error:
        return error.message


@pytest.mark.parametrize(
    ("prepare", "file", "claim", "path"),
    [
        (":", "data/plain/x.dump", "data", "plain/x.dump"),
        (":", "data/x.dump", "data", "x.dump"),
        ('ln -s plain "$0/data/link"', "data/link/x.dump", "data", "plain/x.dump"),
        ('ln -s "$0/data/plain" "$0/link"', "link/x.dump", "data", "plain/x.dump"),
        (":", "a b/c d/x.dump", "spaced", "c d/x.dump"),
        (":", "other/x.dump", "other", "sub/x.dump"),
    ],
    ids=["plain", "at the root", "a link inside", "a link to it", "spaces", "a subPath"],
)
def test_the_path_on_the_claim_is_the_real_one(
    container: Container, prepare: str, file: str, claim: str, path: str
) -> None:
    assert dumped(container, file, prepare, claim) == path


@pytest.mark.parametrize(
    ("prepare", "file", "words"),
    [
        ('mkdir "$0/tmp"; ln -s "$0/tmp" "$0/data/away"', "data/away/x.dump", "on no claim"),
        (
            'ln -s "$0/other" "$0/data/away"',
            "data/away/x.dump",
            "on claim other, not on claim data",
        ),
        (
            'ln -s inner "$0/data/away"',
            "data/away/x.dump",
            "on volume scratch, which is not a claim",
        ),
        (":", "data/inner/x.dump", "on volume scratch, which is not a claim"),
        (
            'mkdir "$0/data/sub"; mount -t tmpfs sub "$0/data/sub"',
            "data/sub/x.dump",
            "data/sub, on no claim",
        ),
    ],
    ids=["to the container's own", "to another claim", "to an emptyDir", "emptyDir", "a mount"],
)
def test_a_dump_that_lies_elsewhere_is_no_dump_on_the_claim(
    container: Container, prepare: str, file: str, words: str
) -> None:
    assert words in dumped(container, file, prepare, "data")


def test_a_mount_path_that_is_a_link_of_the_image_is_followed(
    shells: dict[str, Shell], folder: Path
) -> None:
    """The runtime follows it too: the mount is where the link leads."""
    container = Container(shells["busybox"], folder)
    prepare = 'umount "$0/other"; rmdir "$0/other"; mkdir "$0/real"; ln -s real "$0/other"; '
    prepare += 'mount --bind "$0/disks/other" "$0/real"'
    assert dumped(container, "other/x.dump", prepare, "other") == "sub/x.dump"


def test_where_a_dump_lies_is_looked_at_again_each_time(container: Container) -> None:
    """After the snapshot as well: a directory may have become a link since."""
    (container.folder / "one").mkdir()
    task = replace(container.task(), file=f"{container.folder}/at/x.dump")
    (container.folder / "at").symlink_to("one")
    assert container.run(container.stub_start(task, "echo x >$1")).at == lies(container, task)
    (container.folder / "two").mkdir()
    for entry in (container.folder / "one").iterdir():
        if entry.is_file():
            (container.folder / "two" / entry.name).write_bytes(entry.read_bytes())
    (container.folder / "at").unlink()
    (container.folder / "at").symlink_to("two")
    found = container.result(task).at
    assert found is not None
    assert found.real == f"{container.folder}/two"


def lies(container: Container, task: DumpTask) -> object:
    found = container.result(task).at
    assert found is not None
    assert found.real == f"{container.folder}/one"
    return found
