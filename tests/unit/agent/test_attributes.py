"""One rule says which extended attributes are data, and a record says the outcome of each."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.agent.fs import attributes

names = st.sampled_from(["user.a", "user.b", "security.capability", "trusted.c"])
values = st.dictionaries(names, st.one_of(st.none(), st.binary(max_size=2000)))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("user.colour", True),
        ("user.DOSATTRIB", True),
        ("security.capability", True),
        ("security.NTACL", True),
        ("system.posix_acl_access", True),
        ("system.posix_acl_default", True),
        ("trusted.mine", True),
        ("btrfs.compression", False),
        ("security.selinux", False),
        ("security.SMACK64", False),
        ("security.ima", False),
        ("security.evm", False),
        ("system.nfs4_acl", False),
        ("system.ntfs_attrib_be", False),
        ("system.cifs_acl", False),
        ("ceph.dir.layout", False),
        ("user.mergerfs.basepath", False),
        ("user.cifs.dosattrib", False),
        ("trusted.overlay.origin", False),
        ("trusted.SGI_ACL_FILE", False),
        ("trusted.glusterfs.dht", False),
        ("trusted.gfid", False),
        ("trusted.lov", False),
    ],
)
def test_what_a_file_system_or_kernel_makes_for_itself_is_no_data(name: str, data: bool) -> None:
    assert attributes.is_data(name) is data


@given(values, st.sets(names))
def test_a_record_gives_back_every_value_that_it_or_the_copy_has(
    original: dict[str, bytes | None], refused: set[str]
) -> None:
    record = attributes.recorded(original, refused)
    copy = {name: value for name, value in original.items() if name not in refused}

    found, lost = attributes.values_of(record, copy)

    assert found == {name: value for name, value in original.items() if value is not None}
    assert lost == {name for name, value in original.items() if value is None}
    assert attributes.is_same(record, original)
    assert attributes.difference(record, copy) is None


@given(values, names)
def test_a_changed_a_lost_and_a_foreign_attribute_is_each_a_difference(
    original: dict[str, bytes | None], name: str
) -> None:
    copy: dict[str, bytes | None] = {**original, name: b"value"}
    record = attributes.recorded(copy, ())

    assert attributes.difference(record, {**copy, name: b"other"}) == (
        f"another value of attribute {name}"
    )
    del copy[name]
    assert attributes.difference(record, copy) == f"attribute {name} is missing"
    assert attributes.difference({}, {name: b"value"}) == (
        f"attribute {name}, which is not recorded"
    )
    assert not attributes.is_same(record, copy)


def test_a_long_value_that_the_copy_has_lost_is_said_to_be_lost() -> None:
    record = attributes.recorded({"user.long": b"x" * 2000, "user.short": b"y"}, ())

    found, lost = attributes.values_of(record, {})

    assert found == {"user.short": b"y"}
    assert lost == {"user.long"}


def test_what_the_copy_lacks_is_counted_once_an_entry_and_kind() -> None:
    refused = attributes.recorded({"user.a": b"1", "user.b": b"2"}, {"user.a", "user.b"})

    counted = attributes.count_lacks([{**refused, "owner": "!"}, {"time": "!"}, {}])

    assert counted == {"attributes": 1, "owner": 1, "time": 1}


@pytest.mark.parametrize(
    ("mode", "contradicts"), [(0o770, False), (0o4770, False), (0o700, True), (0o774, True)]
)
def test_an_acl_that_says_something_else_than_the_mode_is_noticed(
    mode: int, contradicts: bool
) -> None:
    entries = ((1, 7, 0), (2, 7, 1111), (4, 5, 0), (16, 7, 0), (32, 0, 0))
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    name = "system.posix_acl_access"
    assert attributes.contradicted({name: acl}, mode) == ({name} if contradicts else set())
