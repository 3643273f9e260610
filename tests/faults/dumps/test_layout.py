"""What databases keep in a container's volumes, as their files say, in each shell."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.faults.dumps.harness import Container
from tests.support import mariadb, postgres

from backstay.domain.errors import DataError
from backstay.domain.sources.mounts import Mount
from backstay.dumps.layout import Layout, ask, parse_layout


def seen(container: Container, *paths: Path) -> Layout:
    command = ask([Mount(str(path), "claim") for path in paths])
    done = subprocess.run(
        [*container.shell.argv, *command.argv[1:]],
        input=command.stdin,
        env={"PATH": container.shell.path},
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
    return parse_layout(done.stdout)


def kept(layout: Layout) -> dict[str, str]:
    return {d.name: d.at.real for d in layout.data}


def test_a_real_server_is_known_by_its_files(
    container: Container, server: postgres.Server, maria: mariadb.Server
) -> None:
    home, other = server.home.resolve(), maria.home.resolve()
    found = seen(container, server.home, maria.home / "data")
    assert found.mounts == (str(home), f"{other}/data")
    assert kept(found) == {
        "data_directory": f"{home}/data",
        "pg_wal": f"{home}/data/pg_wal",
        "datadir": f"{other}/data",
    }


def made(path: Path, *files: str) -> Path:
    for name in files:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text("")
    return path


@pytest.mark.parametrize("below", ["", "pgdata", "17/docker", "a b/c"])
def test_links_out_of_it_are_followed(container: Container, below: str) -> None:
    volume, wal = container.folder / "volume", made(container.folder / "wal", "here/x")
    home = made(volume / below, "PG_VERSION", "global/pg_control", "pg_tblspc/x")
    (home / "pg_wal").symlink_to(wal / "here")
    (home / "pg_tblspc" / "16400").symlink_to(wal)
    reported = [(d.name, d.at.real) for d in seen(container, volume).data]
    assert reported == [
        ("data_directory", str(home)),
        ("pg_wal", f"{wal}/here"),
        ("tablespace", str(wal)),
        ("pg_wal", f"{wal}/here"),
    ]


def test_mongodb_and_mysql_are_known_with_what_is_linked_out_of_them(container: Container) -> None:
    out = made(container.folder / "out", "x")
    mongo = made(container.folder / "mongo", "WiredTiger")
    (mongo / "journal").symlink_to(out)
    mysql = made(container.folder / "mysql", "ibdata1", "shop/t.frm")
    (mysql / "shop" / "t.isl").write_text(f"{out}/shop/t.ibd")
    found = seen(container, mongo, mysql)
    assert [(d.name, d.path) for d in found.data] == [
        ("dbPath", str(mongo)),
        ("journal", f"{mongo}/journal"),
        ("datadir", str(mysql)),
        ("t.isl", f"{out}/shop"),
    ]
    assert kept(found)["journal"] == str(out)


@pytest.mark.parametrize("files", [(), ("PG_VERSION",), ("a/b/c/WiredTiger",), ("x", "y/z")])
def test_what_is_no_database_says_nothing(container: Container, files: Sequence[str]) -> None:
    volume = container.folder / "volume"
    volume.mkdir()
    made(volume, *files)
    assert seen(container, volume, Path("/no/such")) == Layout((), (str(volume), ""))


def test_a_volume_of_very_many_folders_is_looked_at_one_level_deep(dash: Container) -> None:
    volume = dash.folder / "volume"
    for n in range(70):
        os.makedirs(volume / f"d{n}" / "pgdata")
    made(volume / "d1" / "pgdata", "WiredTiger")
    made(volume / "d2", "WiredTiger")
    assert kept(seen(dash, volume)) == {"dbPath": f"{volume}/d2"}


def test_what_is_not_our_answer_is_said() -> None:
    with pytest.raises(DataError, match="sh: not found"):
        parse_layout(b"sh: not found")
