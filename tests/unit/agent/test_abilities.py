"""What a file system keeps decides what is expected of it, in words that a person understands."""

from __future__ import annotations

import stat
from dataclasses import replace

import pytest

from backstay.agent.fs.abilities import EVERYTHING, Abilities, insist
from backstay.agent.fs.inode import FIRST_TIME, LAST_TIME
from backstay.domain.errors import UserError

SECOND = 10**9
ROUNDING = replace(EVERYTHING, grain=100, first=0, last=2**31 * SECOND, link_times=False)


@pytest.mark.parametrize(
    ("moment", "kept"),
    [(0, True), (100, True), (150, False), (-100, False), (2**31 * SECOND + 100, False)],
)
def test_a_time_is_kept_if_it_is_in_the_range_and_not_finer_than_the_grain(
    moment: int, kept: bool
) -> None:
    assert ROUNDING.keeps_time(moment) is kept
    assert not ROUNDING.keeps_time(moment, link=True)
    assert EVERYTHING.keeps_time(moment, link=True)


@pytest.mark.parametrize("moment", [FIRST_TIME, LAST_TIME])
def test_the_ends_of_what_a_manifest_holds_may_be_the_nearest_only(moment: int) -> None:
    assert not EVERYTHING.keeps_time(moment)


def test_special_files_are_taken_by_their_kind() -> None:
    able = replace(EVERYTHING, pipes=False)
    kinds = (stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFREG)
    assert [able.takes(kind | 0o600) for kind in kinds] == [False, False, True, True, True]
    able = replace(EVERYTHING, devices=False)
    assert [able.takes(kind | 0o600) for kind in kinds] == [True, True, False, False, True]


def test_what_is_lacking_is_said_in_words() -> None:
    able = replace(ROUNDING, owners=False, attributes=("user.",))
    assert able.lacking() == [
        "owners",
        "times of symlinks",
        "times finer than 100 ns",
        "times before 1970",
        "times after 2038",
        "attributes trusted",
        "ACLs",
        "capabilities",
        "attributes security.NTACL",
    ]
    assert EVERYTHING.lacking() == []


@pytest.mark.parametrize(
    "able",
    [
        replace(EVERYTHING, hard_links=False),
        replace(EVERYTHING, symlinks=False),
        replace(EVERYTHING, cases=False),
    ],
)
def test_what_copies_cannot_do_without_is_refused_with_the_field_and_the_remedy(
    able: Abilities,
) -> None:
    with pytest.raises(UserError, match=r"^destination: .* use one that does, as ext4") as caught:
        insist(able, "destination")
    assert caught.value.reason == "DestinationUnfit"


def test_all_else_is_done_without() -> None:
    insist(
        replace(
            EVERYTHING,
            raw_names=False,
            odd_names=False,
            pipes=False,
            devices=False,
            holes=False,
            reflinks=False,
            owners=False,
            modes=False,
            link_times=False,
            attributes=(),
            syncs=False,
        )
    )
