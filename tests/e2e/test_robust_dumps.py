"""A dump whose container, target, operator or connection goes away: it ends well or says why."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from tests.e2e import operator_pod
from tests.e2e.kube import Obj
from tests.e2e.shop import DUMP, DUMPING, Shop, ours, policy
from tests.support.cable import cable

BREAK = 60.0


@pytest.fixture(scope="module", autouse=True)
def a_policy(shop: Shop) -> None:
    shop.policy()
    shop.finished(shop.backup())


@contextmanager
def dumping(shop: Shop, policy_name: str = "shop") -> Iterator[str]:
    """A Backup whose pg_dump waits for a lock as long as the block lasts."""
    with shop.table_locked():
        name = shop.backup(policy=policy_name)
        shop.kubectl.until_phase("backups.backstay.dev", name, "Dumping")
        shop.kubectl.until("pg_dump to run", lambda: shop.sql(DUMPING), 60)
        yield name


def ended_right(shop: Shop, name: str, attempt: int = 1) -> Obj:
    """Completed, with one good snapshot, whose dump on record is the file that is inside."""
    done = shop.finished(name)
    assert done["status"]["attempt"] == attempt
    (good,) = [s for s in shop.snapshots_of(name) if ours(s)["result"] == "good"]
    assert good["metadata"]["name"] == done["status"]["points"][0]["ref"]
    (dump,) = done["status"]["dumps"]
    written = shop.kubectl.exec("pg-0", "sha256sum", DUMP, container="postgres")
    assert written.split()[0] == dump["sha256"]
    nothing_half_done(shop)
    return done


def nothing_half_done(shop: Shop) -> None:
    files = shop.kubectl.exec("pg-0", "ls", DUMP.rsplit("/", 1)[0], container="postgres")
    assert ".partial" not in files
    shop.kubectl.exec("pg-0", "pg_restore", "-l", DUMP, container="postgres")


def crash(shop: Shop) -> None:
    """End the container at once, as when it is out of memory: nobody in it can clean up."""
    shop.kubectl.exec("pg-0", "sh", "-c", "kill -QUIT 1", container="postgres")


def reschedule(shop: Shop) -> None:
    shop.kubectl.run("delete", "pod", "pg-0", "--grace-period=0", "--force")


@pytest.mark.parametrize("lose", [crash, reschedule], ids=["crashed", "rescheduled"])
def test_a_container_lost_in_the_middle_costs_an_attempt_and_leaves_nothing(
    shop: Shop, lose: Callable[[Shop], None]
) -> None:
    shop.policy("again", retries=1)
    with shop.table_locked(ends=False):
        name = shop.backup(policy="again")
        shop.kubectl.until("pg_dump to run", lambda: shop.sql(DUMPING), 60)
        lose(shop)

    retrying = shop.kubectl.until_phase("backups.backstay.dev", name, "Queued", seconds=60)
    # The database goes first: its tool may still say so before the container is gone.
    why = retrying["status"]["message"]
    assert "its container was restarted or replaced" in why or "connection" in why, why
    shop.kubectl.run("wait", "pod/pg-0", "--for=condition=Ready", "--timeout=90s")
    ended_right(shop, name, attempt=2)


def test_a_run_waits_for_another_that_has_its_claim(shop: Shop) -> None:
    shop.policy("other", dumps=None)
    with dumping(shop) as first:
        second = shop.backup(policy="other")
        waiting = shop.kubectl.until(
            "the second to wait",
            lambda: (
                (found := shop.kubectl.get("backups.backstay.dev", second))
                .get("status", {})
                .get("message")
                and found
            ),
            30,
        )
        assert waiting["status"]["phase"] == "Queued"
        assert waiting["status"]["message"] == f"waiting for {first}"
    one, other = ended_right(shop, first), shop.finished(second)
    assert one["status"]["points"][0]["takenAt"] <= other["status"]["attemptedAt"]


def test_a_dump_past_its_deadline_is_ended_inside(shop: Shop) -> None:
    short = policy(shop.name)["spec"]["dumps"][0] | {"maxDuration": "4s"}
    shop.policy("short", dumps=[short])
    with dumping(shop, "short") as name:
        failed = shop.finished(name, "Failed")
        shop.kubectl.until("pg_dump to be gone", lambda: shop.sql(DUMPING) == "", 30)
    assert "deadline of 4 s exceeded" in failed["status"]["message"]
    assert shop.snapshots_of(name) == []
    nothing_half_done(shop)


@pytest.mark.alone("kills the operator of all namespaces")
def test_of_two_operators_one_works_and_the_other_takes_over(shop: Shop) -> None:
    with operator_pod.replicas(shop.kubectl, 2):
        with shop.dump_held() as name:
            operator_pod.kill_leader(shop.kubectl)
            assert shop.sql(DUMPING) == "1", "the same pg_dump runs on"
        ended_right(shop, name)


@pytest.mark.alone("severs the operator of all namespaces from the API server")
def test_a_minute_without_the_api_server_costs_nothing(shop: Shop) -> None:
    server = shop.kubectl.run(
        *("config", "view", "--minify"),
        *("--output", "jsonpath={.clusters[0].cluster.server}"),
    )
    address = urlsplit(server)
    if os.environ.get("BACKSTAY_E2E_KUBECONFIG") or not address.hostname:
        pytest.skip("only the local cluster's operator can be disconnected from here")
    host, port = address.hostname, address.port or 443
    with cable((host, port)) as line, operator_pod.through(shop.kubectl, line.port):
        with shop.dump_held() as name:
            line.sever()
            time.sleep(BREAK)  # the length of the fault itself
            assert shop.sql(DUMPING) == "1", "the same pg_dump runs on"
            line.mend()
        ended_right(shop, name)


def test_a_target_scaled_to_zero_fails_the_run_and_says_so(shop: Shop) -> None:
    shop.kubectl.run("scale", "statefulset/pg", "--replicas=0")
    try:
        failed = shop.finished(shop.backup(), "Failed")
    finally:
        shop.kubectl.run("scale", "statefulset/pg", "--replicas=1")
        shop.kubectl.run("rollout", "status", "statefulset/pg", "--timeout=90s")
    why = "spec.dumps[shop].target: StatefulSet pg is scaled to zero"
    assert why in failed["status"]["message"]
    nothing_half_done(shop)
