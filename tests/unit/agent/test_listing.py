"""Listings and manifests: what is written is what is read, whatever the names are."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstay.agent.destination.manifest import Changes, Damaged, Manifest, save
from backstay.agent.fs import listing
from backstay.agent.fs.attributes import Record
from backstay.agent.fs.inode import FIRST_TIME, LAST_TIME, Stat, extra_size, stat_of
from backstay.agent.fs.listing import Encoded, Listing, Totals, totals_of

names = st.binary(min_size=1, max_size=20).map(
    lambda raw: raw.replace(b"\0", b"\xff").replace(b"/", b"\n")
)
kinds = st.sampled_from([stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
moments = st.integers(FIRST_TIME, LAST_TIME)
words = st.sampled_from(["=dmFsdWU=", "!dmFsdWU=", "#00ff", "?"])
records = st.dictionaries(st.sampled_from(["user.a", "system.posix_acl_access"]), words, max_size=2)


@st.composite
def stats(draw: st.DrawFn) -> Stat:
    mode = draw(kinds) | draw(st.integers(0, 0o7777))
    owner, times = (draw(u32), draw(u32)), (draw(moments), draw(moments))
    return Stat(mode, *owner, draw(u32), draw(u64), *times, draw(u64))


@st.composite
def listings(draw: st.DrawFn) -> Listing:
    found = sorted(draw(st.sets(names, max_size=8)))
    inodes = [draw(stats()) for _ in found]
    extras = [
        draw(names)
        if stat.S_ISLNK(one.mode)
        else draw(st.binary(min_size=extra_size(one), max_size=extra_size(one)))
        for one in inodes
    ]
    noted = draw(st.sets(st.sampled_from(found), max_size=2)) if found else set()
    said: dict[bytes, Record] = {name: {**draw(records), "owner": "!"} for name in noted}
    return Listing(found, inodes, extras, {name: {"size": 7} for name in noted}, said)


@settings(deadline=None, max_examples=50)
@given(listings())
def test_a_listing_survives_its_block(listing: Listing) -> None:
    read = Listing.decode(listing.encode())
    assert read == listing
    assert read.digest == listing.digest
    assert Encoded({b"": listing.encode()}).names(b"") == listing.names


@settings(deadline=None, max_examples=50)
@given(listings())
def test_every_name_is_found_and_no_other(listing: Listing) -> None:
    for at, name in enumerate(listing.names):
        assert listing.find(name) == at
    assert listing.find(b"no such name \0") is None


@pytest.mark.parametrize(
    ("second", "kept"),
    [(-(2**31), True), (2**34 - 2**31 - 1, True), (16_299_260_424, True), (32_503_680_000, False)],
)
def test_a_time_outside_of_what_a_manifest_holds_is_the_nearest_inside(
    second: int, kept: bool
) -> None:
    """The ends of ext4 and of XFS, and a time that only btrfs has."""
    times = {"st_mtime_ns": second * 10**9, "st_ctime_ns": second * 10**9}
    inode = os.stat_result((stat.S_IFREG, 1, 0, 1, 0, 0, 0, 0, second, second), times)

    one = stat_of(inode)

    assert one.mtime == (second * 10**9 if kept else LAST_TIME)
    listing = Listing([b"f"], [one], [bytes(32)])
    assert Listing.decode(listing.encode()) == listing


def manifest_of(
    folder: Path, base: Manifest | None, new: dict[bytes, Listing], *removed: bytes
) -> Manifest:
    changes = Changes(
        {path: one.digest for path, one in new.items()},
        {path: one.encode() for path, one in new.items()},
        removed,
        {"run": folder.name, "totals": {"entries": 0, "directories": 0, "files": 0, "bytes": 0}},
    )
    save(folder, base, changes)
    return Manifest.load(folder)


small = st.integers(0, 9).map(
    lambda n: Listing([b"f"], [Stat(0o100644, 0, 0, 1, n, 1, 1, n)], [bytes([n]) * 32])
)
paths = st.sampled_from([b"", b"a", b"a/b", b"c", b"new\nline", b"\xff"])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.dictionaries(paths, small, min_size=1, max_size=4), min_size=1, max_size=6))
def test_a_manifest_in_parts_is_what_was_written_last(days: list[dict[bytes, Listing]]) -> None:
    with tempfile.TemporaryDirectory() as root:
        now: dict[bytes, Listing] = {}
        manifest = None
        for number, day in enumerate(days):
            gone = [path for path in now if path not in day][:1]
            now = {path: one for path, one in now.items() if path not in gone} | day
            manifest = manifest_of(Path(root, str(number)), manifest, day, *gone)
            assert manifest.listings() == now
            assert manifest.digests == {path: one.digest for path, one in now.items()}


def test_a_small_change_writes_a_small_part_and_shares_the_rest(tmp_path: Path) -> None:
    whole = {
        b"d%d" % n: Listing([b"f"], [Stat(0o100644, 0, 0, 1, 1, 1, 1, n)], [bytes(32)])
        for n in range(40)
    }
    first = manifest_of(tmp_path / "1", None, whole)
    manifest_of(tmp_path / "2", first, {b"d3": Listing([], [], [])})
    assert sorted(os.listdir(tmp_path / "2")) == ["0000", "0001"]
    assert (tmp_path / "1/0000").samefile(tmp_path / "2/0000")


@pytest.mark.parametrize("end", [1, 10, -1, -30])
def test_a_damaged_manifest_says_so(tmp_path: Path, end: int) -> None:
    listing = Listing([b"f"], [Stat(0o100644, 0, 0, 1, 1, 1, 1, 1)], [os.urandom(32)])
    manifest_of(tmp_path / "1", None, {b"": listing})
    part = tmp_path / "1/0000"
    part.write_bytes(part.read_bytes()[:end])
    with pytest.raises(Damaged):
        Manifest.load(tmp_path / "1").blocks()


@settings(deadline=None, max_examples=50)
@given(listings(), listings())
def test_totals_add_up(one: Listing, other: Listing) -> None:
    both = totals_of(one) + totals_of(other)
    assert both - totals_of(other) == totals_of(one)
    assert totals_of(Listing([], [])) == Totals()


def named(count: int) -> bytes:
    one = Stat(stat.S_IFREG, 0, 0, 2, 0, 0, 0, 1)
    found = [b"%04d" % number for number in range(count)]
    return Listing(found, [one] * count, [bytes(32)] * count).encode()


def test_listings_at_work_are_decoded_once_and_the_oldest_are_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listing, "_KEPT", 100)
    blocks = {b"%d" % number: named(9) for number in range(20)}
    encoded = Encoded({**blocks, b"big": named(1000), b"empty": named(0)})
    one, other = encoded[b"1"], encoded[b"2"]
    for _ in range(1000):  # as for hard links between two directories
        assert encoded[b"1"] is one
        assert encoded[b"2"] is other
    for path in blocks:
        assert encoded[path] is encoded[path]
    assert encoded[b"1"] is not one
    assert encoded[b"1"] == one
    assert encoded[b"empty"] is encoded[b"empty"]
    assert encoded[b"big"] is encoded[b"big"]  # alone, whatever its size
    assert encoded[b"empty"] == Listing([], [])
