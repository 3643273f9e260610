"""What the snapshots of a point are called: by people, by the agent, by two clusters."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from tests.support.builders import SLOT

from backstay.api.rolling import PlannedCopy
from backstay.domain.objects import Obj
from backstay.domain.records.record import ClaimRecord, Record
from backstay.domain.stores.repository.names import host_of, run_of, tagged, tags_of

AGENT = re.compile(r"[A-Za-z0-9._-]{1,200}")
"""What the agent takes for a run."""
NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,250}[a-z0-9])?", fullmatch=True)


def backup(name: str = "shop-20261122-0032", uid: str = "0c5a7e11-0000") -> Obj:
    return {"metadata": {"name": name, "namespace": "team", "uid": uid}}


def copy(claim: str = "data", path: str = "") -> PlannedCopy:
    return PlannedCopy(claim=claim, path=path)


def record(claim: str = "data", policy: str = "shop") -> Record:
    of = ClaimRecord(claim, "u", "1Gi", "fast", ("ReadWriteOnce",), "Filesystem")
    return Record(policy, "shop-1", SLOT, "UTC", 1, "team", "nu", of)


@given(NAMES, NAMES, st.text(max_size=40))
def test_the_agent_takes_every_name_of_a_run(name: str, claim: str, path: str) -> None:
    assert AGENT.fullmatch(run_of(backup(name[:200]), copy(claim, path)))


def test_each_point_has_a_name_of_its_own_that_people_recognise() -> None:
    mine = run_of(backup(), copy())
    assert mine.startswith("shop-20261122-0032_")
    assert mine.endswith("_data")
    others = [
        run_of(backup(uid="another-cluster"), copy()),
        run_of(backup("shop-20261122-0033"), copy()),
        run_of(backup(), copy("logs")),
        run_of(backup(), copy(path="site")),
    ]
    assert len({mine, *others}) == 5


def test_the_same_point_has_the_same_name_whatever_the_attempt() -> None:
    assert run_of(backup(), copy()) == run_of(backup(), copy())


def test_a_source_is_found_by_host_and_by_tags() -> None:
    assert host_of("team", copy()) == "team/data"
    assert tags_of(record(), copy(path="a site, old")) == (
        "policy=shop",
        "claim=data",
        "slot=2026-11-22T00:32:00Z",
        "path=a site%2C old",
    )


@given(st.text(min_size=1, max_size=80))
def test_a_tag_has_no_comma_and_says_what_it_stands_for(path: str) -> None:
    *_, tag = tags_of(record(), copy(path=path))
    assert "," not in tag
    assert tagged(tag.removeprefix("path=")) == path
