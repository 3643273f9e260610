"""Where a policy's data lives: claims, classes, pods and the claim behind a file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from backstay.api.source import LabelExpression, LabelSelector, SelectorOperator
from backstay.domain.errors import UserError
from backstay.domain.objects import Obj
from backstay.domain.run.sights import DumpPlace
from backstay.domain.sources import claims
from backstay.domain.sources.mounts import Mount

DRIVER = "csi.example"

TARGET = "spec.dumps[shop].target"


def expression(key: str, operator: str, *values: str) -> LabelExpression:
    return LabelExpression(key=key, operator=SelectorOperator(operator), values=values)


def named(name: str, **more: Any) -> Obj:
    return {"metadata": {"name": name}, **more}


def snapshot_class(name: str, driver: str = DRIVER, *, default: bool = False) -> Obj:
    notes = {claims.DEFAULT_CLASS: "true"} if default else {}
    return {"metadata": {"name": name, "annotations": notes}, "driver": driver}


def mount(path: str, volume: str, **more: str) -> Obj:
    return {"mountPath": path, "name": volume, **more}


def claim_volume(name: str, claim: str) -> Obj:
    return {"name": name, "persistentVolumeClaim": {"claimName": claim}}


def pod(
    name: str = "pg-0",
    mounts: tuple[Obj, ...] = (mount("/data", "v"),),
    volumes: tuple[Obj, ...] = (claim_volume("v", "data"),),
    containers: tuple[str, ...] = ("postgres",),
    phase: str = "Running",
    **metadata: Any,
) -> Obj:
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", **metadata},
        "spec": {
            "containers": [{"name": c, "volumeMounts": list(mounts)} for c in containers],
            "volumes": list(volumes),
        },
        "status": {
            "phase": phase,
            "containerStatuses": [
                {"name": c, "containerID": f"cri://{c}", "state": {"running": {}}}
                for c in containers
            ],
        },
    }


def refused(call: Any) -> tuple[str, str]:
    with pytest.raises(UserError) as caught:
        call()
    return caught.value.reason, caught.value.message


@pytest.mark.parametrize(
    ("labels", "expressions", "text"),
    [
        ({"b": "2", "a": "1"}, (), "a=1,b=2"),
        ({"a": ""}, (), "a="),
        ({}, (expression("a", "In", "x", "y"),), "a in (x,y)"),
        ({}, (expression("a", "NotIn", "x"),), "a notin (x)"),
        ({}, (expression("a", "Exists"), expression("b", "DoesNotExist")), "a,!b"),
        ({"a": "1"}, (expression("b", "Exists"),), "a=1,b"),
    ],
)
def test_a_selector_is_written_as_the_api_server_reads_it(
    labels: dict[str, str], expressions: tuple[LabelExpression, ...], text: str
) -> None:
    selector = LabelSelector(match_labels=labels, match_expressions=expressions)

    assert claims.selector_text(selector) == text


def test_a_workloads_selector_is_that_of_its_pods() -> None:
    workload = named("pg", spec={"selector": {"matchLabels": {"app": "pg"}}})

    assert claims.workload_selector(workload) == "app=pg"


def test_the_driver_is_that_of_the_claims_volume() -> None:
    volume = named("pv-1", spec={"csi": {"driver": DRIVER}})

    assert claims.driver_of(named("data"), volume) == DRIVER


@pytest.mark.parametrize(
    ("volume", "reason", "words"),
    [
        (None, "ClaimNotBound", ("claim data is not bound", "start a pod")),
        (
            named("pv-1", spec={"hostPath": {"path": "/x"}}),
            "ClaimNotCSI",
            ("claim data is on volume pv-1", "StorageClass of a CSI driver"),
        ),
    ],
)
def test_a_claim_that_cannot_be_snapshotted_is_refused_with_the_remedy(
    volume: Obj | None, reason: str, words: tuple[str, ...]
) -> None:
    found, message = refused(lambda: claims.driver_of(named("data"), volume))

    assert found == reason
    assert message.startswith("spec.source.claims: ")
    assert all(w in message for w in words)


CLASSES = [
    snapshot_class("slow"),
    snapshot_class("fast", default=True),
    snapshot_class("other", "csi.other", default=True),
]


def test_the_wanted_class_is_used_or_the_drivers_default() -> None:
    assert claims.snapshot_class_for("data", DRIVER, "slow", CLASSES) == "slow"
    assert claims.snapshot_class_for("data", DRIVER, None, CLASSES) == "fast"


@pytest.mark.parametrize(
    ("driver", "wanted", "classes", "reason", "ending"),
    [
        (DRIVER, "none", CLASSES, "ClassNotFound", "; choose one of fast, slow"),
        (
            DRIVER,
            "other",
            CLASSES,
            "ClassOfAnotherDriver",
            "other belongs to driver csi.other, claim data to csi.example; "
            "choose one of fast, slow",
        ),
        ("csi.new", "none", CLASSES, "ClassNotFound", "; driver csi.new has none: create one"),
        (
            "csi.new",
            None,
            CLASSES,
            "NoDefaultClass",
            "has no default VolumeSnapshotClass; driver csi.new has none: create one",
        ),
        (
            DRIVER,
            None,
            [snapshot_class("a")],
            "NoDefaultClass",
            "has no default VolumeSnapshotClass; choose one of a",
        ),
        (
            DRIVER,
            None,
            [snapshot_class("b", default=True), snapshot_class("a", default=True)],
            "NoDefaultClass",
            "has more than one default VolumeSnapshotClass; choose one of a, b",
        ),
    ],
)
def test_a_class_that_does_not_fit_is_refused_with_the_choices(
    driver: str, wanted: str | None, classes: list[Obj], reason: str, ending: str
) -> None:
    found, message = refused(lambda: claims.snapshot_class_for("data", driver, wanted, classes))

    assert found == reason
    assert message.startswith("spec.snapshot.className")
    assert message.endswith(ending)


def test_only_pods_that_run_and_stay_are_dumped_the_lowest_ordinal_first() -> None:
    pods = [
        pod("pg-10"),
        pod("pg-2"),
        pod("pg-1", phase="Pending"),
        pod("pg-0", deletionTimestamp="2026-11-22T00:00:00Z"),
    ]

    assert [p["metadata"]["name"] for p in claims.running_pods(pods)] == ["pg-2", "pg-10"]


def test_the_only_container_needs_no_name() -> None:
    assert claims.container_of(pod(), field=TARGET, wanted=None) == "postgres"
    two = pod(containers=("postgres", "exporter"))
    assert claims.container_of(two, field=TARGET, wanted="exporter") == "exporter"


@pytest.mark.parametrize(
    ("containers", "wanted", "reason", "words"),
    [
        (("a", "b"), None, "ContainerNotNamed", "is not set and pod pg-0 has several: a, b"),
        (("a",), "x", "ContainerNotFound", ": pod pg-0 has no container x, only a"),
    ],
)
def test_a_container_that_is_not_clear_is_refused(
    containers: tuple[str, ...], wanted: str | None, reason: str, words: str
) -> None:
    found, message = refused(
        lambda: claims.container_of(
            pod(containers=containers), field="spec.dumps[shop].target", wanted=wanted
        )
    )

    assert (found, message) == (reason, f"spec.dumps[shop].target.container{_space(words)}")


def _space(words: str) -> str:
    return words if words.startswith(":") else f" {words}"


def test_the_id_of_a_container_is_known_while_it_runs() -> None:
    down = pod()
    down["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}

    assert claims.container_id(pod(), "postgres") == "cri://postgres"
    assert claims.container_id(down, "postgres") == ""
    assert claims.container_id(pod(), "other") == ""
    assert claims.container_id(named("pg-0"), "postgres") == ""


VOLUMES = (
    claim_volume("v", "data"),
    claim_volume("w", "dumps"),
    {"name": "tmp", "emptyDir": {}},
    {"name": "eph", "ephemeral": {"volumeClaimTemplate": {}}},
)


@pytest.mark.parametrize(
    ("file", "mounts", "claim", "path"),
    [
        ("/data/a/x", (mount("/data", "v"),), "data", "a/x"),
        ("/data/x", (mount("/data/", "v"),), "data", "x"),
        ("/x", (mount("/", "v"),), "data", "x"),
        ("/data/d/x", (mount("/data", "v"), mount("/data/d", "w")), "dumps", "x"),
        ("/data/d/x", (mount("/data/d/", "w"), mount("/data", "v")), "dumps", "x"),
        ("/data/dx/x", (mount("/data", "v"), mount("/data/d", "w")), "data", "dx/x"),
        ("/data/x", (mount("/data", "v", subPath="sub/dir/"),), "data", "sub/dir/x"),
        ("/data/x", (mount("/data", "eph"),), "pg-0-eph", "x"),
    ],
    ids=["plain", "slash", "root", "longest", "order", "prefix", "subPath", "ephemeral"],
)
def test_a_file_lies_on_the_claim_of_its_longest_mount(
    file: str, mounts: tuple[Obj, ...], claim: str, path: str
) -> None:
    place = claims.place_in(
        pod(mounts=mounts, volumes=VOLUMES), dump="shop", container=None, file=file
    )

    where = replace(place, mounts=())
    assert where == DumpPlace("pg-0", "uid-pg-0", "postgres", "cri://postgres", claim, path)
    assert [m.path for m in place.mounts] == [m["mountPath"] for m in mounts]


def test_what_is_mounted_in_a_container_is_read_from_its_pod() -> None:
    read_only = claim_volume("r", "shared")
    read_only["persistentVolumeClaim"]["readOnly"] = True
    mounts = (
        mount("/data", "v", subPath="/a/"),
        mount("/r", "r"),
        mount("/tmp", "tmp"),
        mount("/x", "w", subPathExpr="$(POD)"),
    )

    found = claims.mounts_of(pod(mounts=mounts, volumes=(*VOLUMES, read_only)), "postgres")

    assert found == (
        Mount("/data", "data", "v", "a"),
        Mount("/r", "shared", "r", read_only=True),
        Mount("/tmp", "", "tmp"),
        Mount("/x", "dumps", "w", None),
    )


@pytest.mark.parametrize(
    ("file", "mounts", "reason", "words"),
    [
        ("/tmp/x", (mount("/data", "v"),), "FileOutsideClaims", "container's own file system"),
        ("/data", (mount("/data", "v"),), "FileOutsideClaims", "container's own file system"),
        ("/x", (), "FileOutsideClaims", "put it below a volume of container postgres"),
        (
            "/data/tmp/x",
            (mount("/data", "v"), mount("/data/tmp", "tmp")),
            "FileOutsideClaims",
            "lies on volume tmp, which is not a claim",
        ),
        (
            "/data/x",
            (mount("/data", "v", subPathExpr="$(POD)"),),
            "FileBehindSubPathExpr",
            "mount the volume with a plain subPath",
        ),
    ],
    ids=["outside", "the mount itself", "no mounts", "emptyDir", "subPathExpr"],
)
def test_a_file_that_no_snapshot_would_carry_is_refused(
    file: str, mounts: tuple[Obj, ...], reason: str, words: str
) -> None:
    found, message = refused(
        lambda: claims.place_in(
            pod(mounts=mounts, volumes=VOLUMES), dump="shop", container=None, file=file
        )
    )

    assert found == reason
    assert message.startswith(f"spec.dumps[shop].file: {file} lies ")
    assert words in message


def test_the_files_claim_must_be_one_of_the_run() -> None:
    place = DumpPlace("pg-0", "u", "postgres", "c", "dumps", "x")

    claims.require_claim_of_run(place, ["dumps"], dump="shop", file="/d/x")
    found, message = refused(
        lambda: claims.require_claim_of_run(place, ["b", "a"], dump="shop", file="/d/x")
    )

    assert found == "FileOutsideClaims"
    assert "lies on claim dumps, which this policy does not snapshot (a, b)" in message
