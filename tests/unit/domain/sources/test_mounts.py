"""Where a directory of a container lies on which claim."""

from __future__ import annotations

import pytest

from backstay.domain.errors import UserError
from backstay.domain.sources.mounts import Lies, Mount, mount_of, path_of

MOUNTS = (
    Mount("/data", "data", "v"),
    Mount("/data/tmp", "", "scratch"),
    Mount("/sub", "data", "v", "a/b"),
    Mount("/expr", "data", "v", None),
    Mount("/run", "other", "w"),
)
POINTS = ("/data", "/data/tmp", "/sub", "/expr", "/real/run")


@pytest.mark.parametrize(
    ("lies", "claim", "path"),
    [
        (Lies("/data", "/data"), "data", "x.dump"),
        (Lies("/data/x/y", "/data"), "data", "x/y/x.dump"),
        (Lies("/sub", "/sub"), "data", "a/b/x.dump"),
        (Lies("/sub/c", "/sub"), "data", "a/b/c/x.dump"),
        (Lies("/real/run/c", "/real/run"), "other", "c/x.dump"),
    ],
)
def test_a_file_lies_on_the_claim_of_its_real_mount(lies: Lies, claim: str, path: str) -> None:
    assert path_of("/link/x.dump", lies, MOUNTS, POINTS, claim) == path


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
        (Lies("/real/run", "/real/run"), "on claim other, not on claim data; name it by its real"),
    ],
)
def test_what_no_snapshot_of_the_claim_holds_is_refused_in_words(lies: Lies, words: str) -> None:
    with pytest.raises(UserError) as caught:
        path_of("/data/x", lies, MOUNTS, POINTS, "data")
    assert caught.value.message.startswith("file /data/x")
    assert words in caught.value.message


def test_a_mount_point_that_could_not_be_entered_matches_nothing() -> None:
    with pytest.raises(UserError, match="on no claim"):
        mount_of(Lies("/data/x", "/data"), MOUNTS, ("", "", "", "", ""), "it")


def test_which_claim_is_known_also_behind_a_sub_path_expr() -> None:
    assert mount_of(Lies("/expr/x", "/expr"), MOUNTS, POINTS, "it").claim == "data"
