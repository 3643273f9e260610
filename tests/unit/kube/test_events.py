"""Events: their names, and that posting never gets in the way. Posting is in tests/api."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.clock import InstantClock
from tests.unit.kube.conftest import Serve
from tests.unit.kube.test_client_faults import Server, busy

from backstay.domain.errors import Fatal
from backstay.domain.objects import Obj
from backstay.kube.client import Client
from backstay.kube.events import EventPoster, event_name

# RFC 1123 subdomain, as the API server checks names of Events.
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def backup(name: str = "shop-20261122-0032", uid: str = "u1") -> Obj:
    meta = {"name": name, "namespace": "shop", "uid": uid, "resourceVersion": "7"}
    return {"apiVersion": "backstay.dev/v1alpha1", "kind": "Backup", "metadata": meta}


def subdomain(text: str) -> str:
    return re.sub(r"[-.]*\.[-.]*", ".", text).strip("-.") or "x"


@given(st.text("a0-.", min_size=1, max_size=253).map(subdomain))
def test_names_are_valid_whatever_the_object_is_called(name: str) -> None:
    assert SUBDOMAIN.fullmatch(name)
    reported = event_name(backup(name), "Completed", 1)
    assert len(reported) <= 253
    assert SUBDOMAIN.fullmatch(reported)


def test_names_depend_on_uid_reason_and_attempt_only() -> None:
    first = event_name(backup(), "Completed", 1)
    assert first == event_name(backup(), "Completed", "1")
    others = [
        event_name(backup(uid="u2"), "Completed", 1),
        event_name(backup(), "Failed", 1),
        event_name(backup(), "Completed", 2),
    ]
    assert len({first, *others}) == 4


async def test_an_event_that_cannot_be_posted_is_logged(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    clock = InstantClock()
    async with Client(await serve(Server(busy(500))), clock) as client:
        await EventPoster(client, clock).post(backup(), "Completed", "all is well")
    assert "shop-20261122-0032: Event Completed was not posted" in caplog.text


async def test_a_lost_lease_is_not_swallowed(serve: Serve) -> None:
    def fence() -> None:
        raise Fatal("the lease is lost")

    clock, server = InstantClock(), Server()
    async with Client(await serve(server), clock, fence=fence) as client:
        with pytest.raises(Fatal):
            await EventPoster(client, clock).post(backup(), "Completed", "all is well")
    assert server.seen == []
