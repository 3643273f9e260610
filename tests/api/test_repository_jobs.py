"""What Jobs of a BackupRepository are made of, and what people see of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.guides import Guide
from tests.support.kubectl import Kubectl
from tests.support.repositories import CACHE, NAME, WRONG, Repositories, caches, ready
from tests.support.rolling_world import World

from backstay.domain import labels, objects
from backstay.domain.errors import Refused
from backstay.domain.objects import Obj, dig
from backstay.kube.resources import NAMESPACE, Resource

QUOTA = Resource("", "v1", "resourcequotas", "ResourceQuota", namespaced=True)


NOT_READY = '{{if ne .status "True"}}'
"""What only the command of the guide has that prints what is not Ready."""


@pytest.fixture
def repositories(world: World) -> Repositories:
    return Repositories(world)


async def test_the_cache_is_a_claim_that_goes_with_the_repository(
    repositories: Repositories,
) -> None:
    found = await repositories.in_a_claim(cache=CACHE)

    (claim,) = await caches(repositories)
    assert claim["spec"]["storageClassName"] == "fast"
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert dig(claim, "spec", "resources", "requests", "storage") == "64Mi"
    (owner,) = claim["metadata"]["ownerReferences"]
    assert owner["uid"] == objects.uid(found)


async def test_a_cache_is_no_data_that_a_policy_selects(repositories: Repositories) -> None:
    await repositories.in_a_claim(cache=CACHE)
    every = {"matchExpressions": [{"key": labels.REPOSITORY, "operator": "Exists"}]}

    await repositories.world.policy(
        source={"claims": {"selector": every}},
        rolling={"destination": {"claim": {"name": "nas"}}},
    )

    found = await repositories.world.ready()
    assert (found["status"], found["reason"]) == ("False", "NoClaims")


async def test_a_cache_that_is_refused_is_reported(repositories: Repositories) -> None:
    quota = {"metadata": {"name": "none", "namespace": repositories.namespace}}
    hard = {"fast.storageclass.storage.k8s.io/persistentvolumeclaims": "0"}
    made = await repositories.world.client.create(QUOTA, quota | {"spec": {"hard": hard}})
    counted = {
        "metadata": {"resourceVersion": objects.version(made)},
        "status": {"hard": hard, "used": hard},
    }
    # As its controller does.
    await repositories.world.client.patch(
        QUOTA, "none", repositories.namespace, counted, subresource="status"
    )

    with pytest.raises(Refused):
        await repositories.begin(cache=CACHE)

    status, _, message = ready(await repositories.get())
    assert status == "False"
    assert "exceeded quota: none" in message
    assert await repositories.jobs() == []


async def test_its_jobs_are_as_its_spec_says(repositories: Repositories) -> None:
    affinity: Obj = {
        "podAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "podAffinityTerm": {"topologyKey": "zone"}}
            ]
        }
    }
    mover = {
        "image": "mine:1",
        "securityContext": {"runAsUser": 26, "fsGroup": 26},
        "resources": {"limits": {"memory": "2Gi"}},
        "affinity": affinity,
        "serviceAccountName": "irsa",
        "podLabels": {"net": "s3"},
        "volumes": [{"mountPath": "nfs", "nfs": {"server": "nas", "path": "/export"}}],
    }

    job = await repositories.begin(mover=mover, limits={"uploadKiB": 512, "downloadKiB": 1024})

    template = job["spec"]["template"]
    pod, (container,) = template["spec"], template["spec"]["containers"]
    assert template["metadata"]["labels"]["net"] == "s3"
    assert container["image"] == "mine:1"
    assert container["resources"] == mover["resources"]
    assert pod["securityContext"]["runAsUser"] == 26
    assert pod["affinity"] == affinity
    assert pod["serviceAccountName"] == "irsa"
    assert "/mnt/nfs" in {m["mountPath"] for m in container["volumeMounts"]}
    task = json.loads(container["env"][0]["value"])["repository"]
    assert (task["uploadKiB"], task["downloadKiB"]) == (512, 1024)


@pytest.mark.parametrize(
    ("metadata", "root"),
    [
        ({}, True),
        ({"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}, True),
        ({"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}, False),
        ({"annotations": {"backstay.dev/privileged-movers": "false"}}, False),
        ({"annotations": {"volsync.backube/privileged-movers": "false"}}, False),
        ({"annotations": {"volsync.backube/privileged-movers": "true"}}, True),
    ],
)
async def test_movers_are_root_unless_the_namespace_forbids_it(
    repositories: Repositories, metadata: Obj, root: bool
) -> None:
    its = Repositories(repositories.world, f"{repositories.namespace}-other")
    await repositories.world.client.create(
        NAMESPACE, {"metadata": {"name": its.namespace, **metadata}}
    )

    job = await its.begin()

    user = dig(job, "spec", "template", "spec", "securityContext", "runAsUser")
    assert (user == 0) is root
    assert added(job) == (["CHOWN", "DAC_OVERRIDE", "FOWNER"] if root else None)


def added(job: Obj) -> list[str] | None:
    (container,) = dig(job, "spec", "template", "spec", "containers")
    found: list[str] | None = dig(container, "securityContext", "capabilities", "add")
    return found


async def test_kubectl_shows_whether_it_can_be_used_and_why_not(
    repositories: Repositories, kubeconfig: Path, tmp_path: Path
) -> None:
    kubectl = Kubectl(kubeconfig, repositories.namespace)
    made = await repositories.in_a_claim()

    head, row = [line.split() for line in kubectl("get", "brepo", "-o", "wide").out.splitlines()]
    shown = dict(zip(head, row, strict=False))
    assert (shown["NAME"], shown["READY"], shown["REASON"]) == (NAME, "True", "Initialised")
    assert shown["ACCESS"] == "ReadWrite"
    assert made["status"]["id"] in row

    guide = Guide("watch.md", kubeconfig, tmp_path)
    bad = f"{repositories.namespace}/{NAME} WrongPassword: "
    assert bad not in guide.run(NOT_READY, {})

    await repositories.secret(RESTIC_PASSWORD=WRONG)
    await repositories.again()

    assert bad in guide.run(NOT_READY, {})
    _, row = [line.split() for line in kubectl("get", "brepo").out.splitlines()]
    assert row[:3] == [NAME, "False", "WrongPassword"]


@pytest.mark.parametrize(
    ("notes", "level", "admitted"),
    [
        ({}, "restricted", True),
        ({"backstay.dev/privileged-movers": "true"}, "restricted", False),
        ({}, "baseline", True),
    ],
    ids=["plain, restricted", "root, restricted", "root, baseline"],
)
async def test_its_pods_pass_the_pod_security_that_the_guide_names(
    repositories: Repositories, kubeconfig: Path, notes: dict[str, str], level: str, admitted: bool
) -> None:
    place = Repositories(repositories.world, f"{repositories.namespace}-{level}")
    enforced = {"pod-security.kubernetes.io/enforce": level}
    metadata = {"name": place.namespace, "annotations": notes, "labels": enforced}
    await repositories.world.client.create(NAMESPACE, {"metadata": metadata})
    job = await place.begin()
    kubectl = Kubectl(kubeconfig, place.namespace)
    kubectl("create", "serviceaccount", "default")

    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "mover"}}
    text = json.dumps(pod | {"spec": dig(job, "spec", "template", "spec")})
    made = kubectl("create", "--dry-run=server", "-f", "-", stdin=text)

    assert made.ok is admitted, made.err
    if not admitted:
        assert 'violates PodSecurity "restricted:latest"' in made.err
