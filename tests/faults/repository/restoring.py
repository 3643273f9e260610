"""What restores from repositories are tested with: snapshots of each form, and targets."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.faults.repository.harness import Depot, Outcome

from backstay.domain.stores.repository.record import encode

RESTORE = "restore-1"
VOLSYNC = ("--host", "volsync", "--exclude=lost+found")


def own_form(depot: Depot, *words: str) -> str:
    """Store the source as VolSync and Backstay do, with its root as that of the tree; return the
    snapshot's id.
    """
    return stored(depot.run("backup", "--json", *words, ".", cwd=depot.source))


def absolute_form(depot: Depot, *words: str) -> str:
    """Store the source by its path, as a person and K8up do; return the snapshot's id."""
    return stored(depot.run("backup", "--json", *words, str(depot.source)))


def stored(output: str) -> str:
    return str(json.loads(output.splitlines()[-1])["snapshot_id"])


def recorded(depot: Depot, run: str = "r1", **record: Any) -> tuple[str, str]:
    """Store the source as a point of claim data of namespace shop; return the ids of the data and
    of its record.
    """
    tags = ("--tag", "backstay", "--tag", f"run={run}", "--tag", "attempt=1")
    data = own_form(depot, "--host", "shop/data", *tags)
    return data, record_of(depot, data, run, **record)


def record_of(depot: Depot, data: str, run: str = "r1", **record: Any) -> str:
    """Store a record of data; return its id."""
    found = next(s for s in depot.snapshots() if s["id"] == data)
    tree, counted = found["tree"], found["summary"]
    stored_of = {
        "files": counted["total_files_processed"],
        "bytes": counted["total_bytes_processed"],
        "added": 1,
        "unreadable": 0,
        "vanished": 0,
        "examples": [],
    }
    claim = {"name": "data", "uid": "u1", "size": "1Gi", "class": "fast", "modes": ["RWO"]}
    said = {"namespace": "shop", "backup": run, "claim": claim, "dumps": [], "stored": stored_of}
    text = encode({**said, **record})
    named = [
        f"run={run}",
        "attempt=1",
        f"data={data}",
        f"tree={tree}",
        f"record={text}",
        "backstay-point",
    ]
    tags = [word for tag in named for word in ("--tag", tag)]
    file = depot.folder / "record.json"
    file.write_text("{}")
    return stored(depot.run("backup", "--json", "--host", "backstay", *tags, str(file)))


def restore(depot: Depot, snapshot: str, top: Path, **more: Any) -> Outcome:
    """Restore a snapshot into a directory as a Job does."""
    top.mkdir(exist_ok=True)
    task = {"snapshot": snapshot, "restore": RESTORE, "target": {"root": str(top)}, **more}
    return depot.agent("repository-restore", **task)


def find(depot: Depot, *wants: Mapping[str, Any], **more: Any) -> Outcome:
    """Find snapshots of claim data of namespace shop, as far as a want does not say otherwise."""
    asked = [{"namespace": "shop", "claim": "data", **want} for want in wants]
    return depot.agent("repository-find", wants=asked, **more)


def looks(top: Path, *, but: tuple[str, ...] = ("lost+found",)) -> dict[str, tuple[Any, ...]]:
    """Everything of all that is below a directory that a restore has to bring back."""
    found: dict[str, tuple[Any, ...]] = {}
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        if name.split("/", maxsplit=1)[0] in but:
            continue
        one = os.lstat(path)
        is_file = stat.S_ISREG(one.st_mode)
        content = path.read_bytes() if is_file else b""
        link = os.readlink(path) if stat.S_ISLNK(one.st_mode) else ""
        names = {} if link else {n: os.getxattr(path, n) for n in os.listxattr(path)}
        links = one.st_nlink if is_file else 0
        found[name] = (
            *(one.st_mode, one.st_uid, one.st_gid, one.st_mtime_ns if not link else 0),
            *(one.st_rdev, links, link, content, tuple(sorted(names.items()))),
        )
    return found


def furnish_all_kinds(top: Path) -> None:
    """Fill a directory with one of everything that a claim may have."""
    top.mkdir(exist_ok=True)
    (top / "sub/deep").mkdir(parents=True)
    (top / "empty").mkdir()
    (top / "a").write_bytes(os.urandom(300_000))
    os.link(top / "a", top / "sub/hard")
    (top / "sub/deep/[odd]*name?").write_text("odd")
    (top / os.fsdecode(b"caf\xe9\\n")).write_text("no utf-8")
    (top / "link").symlink_to("/etc/passwd")
    (top / "dangling").symlink_to("nowhere")
    os.mkfifo(top / "pipe")
    with (top / "sparse").open("wb") as file:
        file.seek(40_000_000)
        file.write(b"end")
    os.setxattr(top / "a", "user.note", b"kept")
    os.chown(top / "sub", 999, 998)
    (top / "sub").chmod(0o2770)
    os.utime(top / "sub/deep", (1_000_000_000, 1_000_000_000))


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="owners are to be restored")
