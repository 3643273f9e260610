"""Where a directory of a container lies on which claim."""

from __future__ import annotations

import pytest

from backstay.domain.errors import UserError
from backstay.domain.mounts import Lies, Mount, Spot, spot_of, spot_of_file

MOUNTS = (
    Mount("/data", "data", "v"),
    Mount("/data/tmp", "", "scratch"),
    Mount("/sub", "data", "v", "a/b"),
    Mount("/expr", "data", "v", None),
    Mount("/run", "other", "w"),
)
POINTS = ("/data", "/data/tmp", "/sub", "/expr", "/real/run")


@pytest.mark.parametrize(
    ("lies", "spot"),
    [
        (Lies("/data", "/data"), Spot("data", "")),
        (Lies("/data/x/y", "/data"), Spot("data", "x/y")),
        (Lies("/sub", "/sub"), Spot("data", "a/b")),
        (Lies("/sub/c", "/sub"), Spot("data", "a/b/c")),
        (Lies("/real/run/c", "/real/run"), Spot("other", "c")),
    ],
)
def test_a_directory_lies_on_the_claim_of_its_mount(lies: Lies, spot: Spot) -> None:
    assert spot_of(lies, MOUNTS, POINTS, "it") == spot


@pytest.mark.parametrize(
    ("lies", "words"),
    [
        (Lies(), "could not be seen"),
        (Lies("/tmp", "/"), "really lies in /tmp, on the container's own file system, on no claim"),
        (Lies("/proc/x", "/proc"), "on mount /proc, on no claim"),
        (Lies("/run/x", "/run"), "on mount /run, on no claim"),
        (Lies("/data/tmp/x", "/data/tmp"), "on volume scratch, which is not a claim"),
        (Lies("/expr/x", "/expr"), "behind a subPathExpr of claim data"),
        (Lies("/data/vol/x", "/data", apart=True), "in a file system of its own inside claim data"),
    ],
)
def test_what_no_snapshot_of_a_claim_holds_is_refused_in_words(lies: Lies, words: str) -> None:
    with pytest.raises(UserError) as caught:
        spot_of(lies, MOUNTS, POINTS, "file /data/x")
    assert caught.value.message.startswith("file /data/x")
    assert words in caught.value.message


def test_a_mount_point_that_could_not_be_entered_matches_nothing() -> None:
    with pytest.raises(UserError, match="on no claim"):
        spot_of(Lies("/data/x", "/data"), MOUNTS, ("", "", "", "", ""), "it")


def test_a_file_on_another_claim_than_planned_is_refused_with_the_remedy() -> None:
    found = spot_of_file("/link/x.dump", Lies("/sub", "/sub"), MOUNTS, POINTS, "data")
    assert found == Spot("data", "a/b/x.dump")
    with pytest.raises(UserError, match="on claim data, not on claim other; name it by its real"):
        spot_of_file("/link/x.dump", Lies("/sub", "/sub"), MOUNTS, POINTS, "other")
