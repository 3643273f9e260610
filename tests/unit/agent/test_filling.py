"""What restic says while it restores, as a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from backstay.agent.restic.filling import Complaints, Wanted, literal, options
from backstay.domain.stores.repository.reasons import Outcome, Reason, outcome_of


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("ReadFull(<data/3a0f6ce360>): file is too short", Reason.DAMAGED),
        ("Load(<data/3a0f6ce360>, 87, 300204) failed: does not exist", Reason.DAMAGED),
        ("decrypting blob <data/3a0f6ce3> from 3a0f6ce3 failed: ciphertext verification failed",
         Reason.DAMAGED),
        ("ReadFull(<data/3a0f6ce360>): Access Denied.", Reason.ACCESS_DENIED),
        ("ReadFull(<data/3a0f6ce360>): 503 Service Unavailable", Reason.UNREACHABLE),
        ("ReadFull(<data/3a0f6ce360>): dial tcp 10.0.0.1:443: connection refused",
         Reason.UNREACHABLE),
        # Of the target, whatever its names spell.
        ("lchown /target/503: operation not permitted", Reason.FAILED),
        ("open /target/access denied: no such file or directory", Reason.FAILED),
    ],
)  # fmt: skip
def test_a_complaint_is_of_the_repository_or_of_the_target(words: str, reason: Reason) -> None:
    complaints = Complaints()
    complaints.add("/a", words)

    assert complaints.reason is reason


def test_what_the_repository_did_not_give_is_tried_again_whatever_follows_from_it() -> None:
    complaints = Complaints()
    complaints.add("/a", "ReadFull(<data/3a0f6ce360>): 503 Service Unavailable")
    complaints.add("/a", "lchown /target/a: no such file or directory")

    assert outcome_of(complaints.reason) is Outcome.BUSY
    assert complaints.count == 2


def test_a_full_target_is_distinguished() -> None:
    complaints = Complaints()
    complaints.add("/a", "write /target/a: no space left on device")

    assert complaints.no_room


def test_a_path_is_a_name_and_never_a_pattern() -> None:
    assert literal("a/[b]*?\\") == "/a/\\[b]\\*\\?\\\\"


def test_what_is_no_content_is_left_alone_but_where_paths_are_chosen() -> None:
    all_of_it = options(Wanted("1" * 64, "", Path("/target"), delete=True))
    some = options(Wanted("1" * 64, "", Path("/target"), include=["a", "b/c"]))

    assert all_of_it[0] == "--delete"
    assert "/lost+found" in all_of_it
    assert "--exclude" not in some
    assert [word for word in some if word.startswith("/")] == ["/a", "/b/c"]
