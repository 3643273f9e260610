"""Which records the artifacts of a policy report, and what such a record says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.support.builders import RUN_UID, SHA, SLOT, content, record, seen, snapshot, spec

from backstay.api.backup import BackupPhase, BackupStatus, Trigger
from backstay.api.common import format_time
from backstay.api.dump_status import DumpState
from backstay.domain.objects import Obj
from backstay.domain.records import rebuild
from backstay.domain.records.rebuild import Artifact, Import, imports, is_asked, status_of
from backstay.domain.records.record import DumpRecord
from backstay.domain.run import machine

TAKEN = "2026-11-22T00:32:05Z"
MOMENT = datetime(2026, 11, 22, 0, 32, 5, tzinfo=UTC)
KIND = ("custom", "zstd", True, "binlog.7 at 42", "7301", ("rows are missing",))
DUMP = DumpRecord(
    "shop", "postgres", "/data/shop.dump", "shop.dump", SHA, 2048, 999, 998, {}, *KIND
)


def artifact(
    name: str = "one",
    *,
    claim: str = "data",
    extra: dict[str, str] | None = None,
    notes: dict[str, str] | None = None,
    size: int | None = 1 << 30,
    **values: Any,
) -> Artifact:
    """A snapshot with a dump inside, as it stands in the cluster."""
    written = {"record": record(dumps=(DUMP,))} | (notes or {})
    carried = {"pvc": claim, "backup": "shop-20261122-0032"} | (extra or {})
    return Artifact(snapshot(name, TAKEN, extra=carried, notes=written, **values), None, size)


def made(*artifacts: Artifact, living: tuple[str, ...] = ()) -> list[Import]:
    return imports("team", "shop", artifacts, living)


def orphan(name: str = "one", **notes: str) -> Obj:
    """A content as it stays behind."""
    of = artifact(name).carrier
    found = content(of, policy="Retain", **{"record": record(dumps=(DUMP,)), "run": "x", **notes})
    found["metadata"]["annotations"]["backstay.dev/taken-at"] = format_time(MOMENT)
    found["metadata"]["labels"] = of["metadata"]["labels"]
    found["status"] |= {"creationTime": 0, "restoreSize": 5}
    return found


def test_a_run_comes_back_with_its_slot_points_and_dumps() -> None:
    (one,) = made(artifact())
    assert one.body["metadata"] == {
        "name": "shop-20261122-0032",
        "namespace": "team",
        "labels": {"backstay.dev/policy": "shop"},
    }
    assert one.body["spec"] == {
        "policy": "shop",
        "trigger": "Imported",
        "scheduledFor": "2026-11-22T00:32:00Z",
    }
    status = one.status
    assert status.phase is BackupPhase.COMPLETED
    assert (status.taken, status.completed_at, status.started_at) == (MOMENT, MOMENT, SLOT)
    assert status.size == "2.0Ki"
    (point,) = status.points
    assert (point.source, point.ref, point.content) == ("data", "one", "content-one")
    assert (point.result, point.bytes, point.taken_at) == ("good", 1 << 30, MOMENT)
    (dump,) = status.dumps
    assert (dump.name, dump.sha256, dump.bytes, dump.claim) == ("shop", SHA, 2048, "data")
    assert (dump.state, dump.path, dump.uid) == (DumpState.DONE, "shop.dump", 999)
    kind = (dump.format, dump.compression, dump.compressed, dump.position, dump.server, dump.notes)
    assert kind == KIND
    # it can be written and read back
    assert BackupStatus.model_validate(status.dump()) == status


def test_a_record_that_is_there_is_left_alone() -> None:
    assert made(artifact(notes={"run": "uid-there"}), living=("uid-there",)) == []


def test_a_run_of_which_one_artifact_points_at_its_record_already_is_still_whole() -> None:
    # given a process that was killed after it had pointed the second attempt at the new record
    first = artifact("data-1", result="failed")
    second = artifact("data-2", notes={"record": record(attempt=2), "run": "uid-there"})
    (one,) = made(first, second, living=("uid-there",))
    assert [p.ref for p in one.status.points] == ["data-2"]
    assert one.status == made(first, second)[0].status


def test_an_ad_hoc_run_and_another_tools_snapshot_fill_no_slot() -> None:
    (adhoc,) = made(artifact(extra={"type": "adhoc"}))
    assert adhoc.body["spec"] == {"policy": "shop", "trigger": "Imported"}
    assert adhoc.status.started_at == SLOT
    (adopted,) = made(artifact(notes={"adopted-from": "backup-ns.sh"}))
    assert adopted.body["spec"] == {"policy": "shop", "trigger": "Imported"}
    assert adopted.status.started_at is None


def test_points_of_several_claims_and_attempts_are_one_record() -> None:
    second = record(attempt=2)
    (one,) = made(
        artifact("data-1", result="failed"),
        artifact("data-2", notes={"record": second}),
        artifact("logs-1", claim="logs", result="failed"),
        artifact("logs-2", claim="logs", result="failed", notes={"record": second}),
    )
    status = one.status
    assert status.phase is BackupPhase.PARTIALLY_FAILED
    shown = [(p.source, p.ref, p.result.value, p.attempt) for p in status.points]
    assert shown == [("data", "data-2", "good", 2), ("logs", "logs-2", "failed", 2)]
    assert status.attempt == 2
    assert len(one.artifacts) == 4


def test_a_run_without_a_good_point_failed() -> None:
    for result in ("failed", "pending"):
        (one,) = made(artifact(result=result))
        assert one.status.phase is BackupPhase.FAILED
        assert one.status.size is None


def test_what_has_no_result_or_names_no_record_has_none() -> None:
    assert made(artifact(result=None), artifact("two", extra={"backup": ""})) == []


def test_a_content_that_outlived_its_snapshot_stands_for_it() -> None:
    (alone,) = rebuild.pair([], [orphan()], lambda _s, _c: None)
    (one,) = made(alone)
    (point,) = one.status.points
    assert (point.ref, point.content, point.bytes) == ("one", "content-one", 5)
    assert (point.taken_at, one.status.taken) == (MOMENT, MOMENT)
    assert one.status.dumps[0].sha256 == SHA


def test_a_snapshot_and_its_content_are_one_artifact() -> None:
    of = artifact().carrier
    (pair,) = rebuild.pair([of], [orphan()], lambda _s, c: 7 if c else None)
    assert (pair.snapshot, pair.size) == (of, 7)


def test_a_record_that_cannot_be_read_costs_only_what_it_would_say() -> None:
    (one,) = made(artifact(notes={"record": "{"}))
    assert one.status.phase is BackupPhase.COMPLETED
    assert (one.status.dumps, one.status.points[0].attempt) == ((), 1)
    assert "scheduledFor" not in one.body["spec"]


@given(st.permutations(["data-1", "data-2", "logs-1", "logs-2"]))
def test_the_order_of_the_artifacts_does_not_matter(order: list[str]) -> None:
    def world(names: list[str]) -> list[Artifact]:
        return [
            artifact(
                n, claim=n[:4], result="failed" if n == "logs-2" else "good",
                notes={"record": record(attempt=int(n[-1]), dumps=(DUMP,))},
            )
            for n in names
        ]  # fmt: skip

    (one,), (other,) = made(*world(order)), made(*world(sorted(order)))
    assert (one.body, one.status) == (other.body, other.status)


def test_a_rebuild_is_asked_for_by_a_new_policy_and_by_the_annotation() -> None:
    done = {"status": {"rebuiltAt": TAKEN}}
    assert is_asked({})
    assert not is_asked(done)
    for value in ("", "true", "false"):
        assert is_asked({**done, "metadata": {"annotations": {"backstay.dev/rebuild": value}}})


def test_an_imported_backup_is_never_executed() -> None:
    for phase in BackupPhase:
        status = BackupStatus(phase=phase)
        world = seen(status, spec=spec(trigger=Trigger.IMPORTED), uid=RUN_UID)
        decision = machine.decide(world)
        assert (decision.status, decision.actions, decision.after) == (status, (), None)


def test_a_status_is_a_function_of_its_artifacts() -> None:
    assert status_of([artifact()]) == status_of([artifact()])
