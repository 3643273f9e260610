"""FerretDB, for tests: it speaks MongoDB's protocol, and MongoDB itself is in no registry of ours.

It and the real mongodump and mongorestore are built by the cluster kit. It knows no users and is no
replica set: neither a password nor the oplog can be tested against it.
"""

from __future__ import annotations

import json
import operator
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.support import debian
from tests.support.waiting import eventually

KIT = Path(__file__).parents[2] / "hack/cluster/cluster"
Document = Mapping[str, Any]
_ROOM = 256 * 1024 * 1024


@cache
def tools() -> dict[str, Path]:
    """Return the path of each program."""
    names = ("mongodump", "mongorestore", "ferretdb")
    done = subprocess.run([KIT, "tools", *names], check=True, capture_output=True, text=True)
    pairs = (line.split(None, 1) for line in done.stdout.splitlines())
    return {name: Path(path.strip()) for name, path in pairs}


@dataclass(frozen=True, slots=True)
class Server:
    """A running server on loopback."""

    port: int

    def insert(
        self, database: str, collection: str, documents: Sequence[Mapping[str, Any]]
    ) -> None:
        """Given documents of texts, numbers, None, lists and documents, put them in."""
        data = b"".join(map(encode, documents))
        self._tool(
            "mongorestore", f"--db={database}", f"--collection={collection}", "-", stdin=data
        )

    def create(
        self, database: str, collection: str, indexes: Sequence[Document], options: Document
    ) -> None:
        """Given indexes and options as MongoDB's metadata files have them, make a collection."""
        with tempfile.TemporaryDirectory() as folder:
            there = Path(folder) / database
            there.mkdir()
            (there / f"{collection}.bson").touch()
            head = {"collectionName": collection, "indexes": indexes, "options": options}
            (there / f"{collection}.metadata.json").write_text(json.dumps(head))
            self._tool("mongorestore", f"--dir={folder}")

    def restore(self, archive: bytes) -> None:
        """Given an archive of mongodump, load it."""
        self._tool("mongorestore", "--archive", stdin=archive)

    def contents(self) -> Mapping[str, tuple[Sequence[bytes], Any]]:
        """Return documents, sorted, and indexes and options, by database and collection."""
        with tempfile.TemporaryDirectory() as folder:
            self._tool("mongodump", f"--out={folder}")
            return {
                f"{file.parent.name}/{file.stem}": (_split(file.read_bytes()), _metadata(file))
                for file in Path(folder).rglob("*.bson")
            }

    def _tool(self, name: str, *words: str, stdin: bytes = b"") -> None:
        argv = [str(tools()[name]), f"--port={self.port}", *words]
        done = subprocess.run(argv, input=stdin, check=False, capture_output=True)
        if done.returncode != 0:
            raise RuntimeError(f"{name}: {done.stderr.decode(errors='replace')}")


def encode(value: Document) -> bytes:
    """Given a document, return it as BSON (bsonspec.org)."""
    body = b"".join(_element(name, item) for name, item in value.items())
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def _element(name: str, item: Any) -> bytes:
    key = name.encode() + b"\0"
    match item:
        case None:
            return b"\x0a" + key
        case float():
            return b"\x01" + key + struct.pack("<d", item)
        case int():
            return b"\x12" + key + struct.pack("<q", item)
        case str():
            text = item.encode() + b"\0"
            return b"\x02" + key + struct.pack("<i", len(text)) + text
        case list():
            return b"\x04" + key + encode({str(i): inner for i, inner in enumerate(item)})
    return b"\x03" + key + encode(item)


def _metadata(file: Path) -> Any:
    found = json.loads(file.with_suffix(".metadata.json").read_bytes())
    # A collection is given a new one when it is made, also by a restore.
    found.pop("uuid", None)
    found["indexes"].sort(key=operator.itemgetter("name"))
    return found


def _split(data: bytes) -> Sequence[bytes]:
    found = []
    while data:
        (length,) = struct.unpack_from("<i", data)
        found.append(data[:length])
        data = data[length:]
    return sorted(found)


@contextmanager
def running() -> Iterator[Server]:
    """Start an empty server; it ends with the block."""
    home = debian.home(_ROOM)
    try:
        argv = [*debian.unprivileged(), str(tools()["ferretdb"]), f"-folder={home}/"]
        with debian.process(argv, home):
            log = home / "log"
            found = eventually(
                lambda: re.search(rb"^mongodb://127.0.0.1:(\d+)", log.read_bytes(), re.MULTILINE),
                "FerretDB",
            )
            assert found is not None
            yield Server(int(found[1]))
    finally:
        shutil.rmtree(home)
