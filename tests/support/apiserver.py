"""A real API server for tests: etcd and kube-apiserver alone, no node, no controllers.

So objects are validated, defaulted, versioned and authorised as on any cluster, and nothing
else happens to them: what a controller would write, a test writes.

Binaries come from $KUBEBUILDER_ASSETS (envtest's convention), else from the cluster kit, which
builds them once. Both listen on loopback only and are stopped by their own pid.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.support.waiting import within

from backstay.domain.objects import dig
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.login import login
from backstay.kube.resources import Resource

ROOT = Path(__file__).parents[2]
KIT = ROOT / "hack" / "cluster" / "cluster"
SNAPSHOT_MODULE = "github.com/kubernetes-csi/external-snapshotter/client/v8@v8.6.0"
CRD = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False
)
ETCD_URL = "etcd-url"
"""File in the server's folder: where its etcd listens, for who has to fill it fast."""
START_TIMEOUT = 60.0
"""Seconds; 2 to 5 are usual."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What the server is made of: two binaries and the folder of the VolumeSnapshot CRDs."""

    etcd: Path
    apiserver: Path
    snapshot_crds: Path


def find_tools() -> Tools:
    """Return the tools, built by the kit where $KUBEBUILDER_ASSETS does not name them."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets:
        folder = Path(assets)
        tools = Tools(folder / "etcd", folder / "kube-apiserver", _module_crds())
    else:
        names = ["etcd", "kube-apiserver", "snapshot-crds"]
        command = [str(KIT), "tools", *names]
        lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        found = dict(line.split(maxsplit=1) for line in lines.splitlines())
        tools = Tools(*(Path(found[name]) for name in names))
    for path in (tools.etcd, tools.apiserver, tools.snapshot_crds):
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing: unset KUBEBUILDER_ASSETS to build it")
    return tools


def _module_crds() -> Path:
    command = ["go", "mod", "download", "-json", SNAPSHOT_MODULE]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd="/").stdout
    return Path(json.loads(answer)["Dir"]) / "config" / "crd"


@contextlib.contextmanager
def running_api_server(folder: Path) -> Iterator[Path]:
    """Given an empty folder, run a server in it; yield a kubeconfig of a cluster administrator.

    Our CRDs (crds/*.yaml) and those of VolumeSnapshots are served when it is yielded. Raise
    RuntimeError with the end of the log if the server does not come up.
    """
    tools = find_tools()
    with contextlib.ExitStack() as stack:
        etcd = _start_etcd(stack, tools, folder)
        kubeconfig = _start_apiserver(stack, tools, folder, etcd)
        asyncio.run(_install_crds(kubeconfig, [tools.snapshot_crds, ROOT / "crds"]))
        yield kubeconfig


def _start_etcd(stack: contextlib.ExitStack, tools: Tools, folder: Path) -> str:
    clients, peers = (f"http://127.0.0.1:{_free_port()}" for _ in range(2))
    command = [
        str(tools.etcd), f"--data-dir={folder / 'etcd'}", "--unsafe-no-fsync",
        f"--listen-client-urls={clients}", f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
    ]  # fmt: skip
    log = folder / "etcd.log"
    process = stack.enter_context(_running(command, log))
    _await_ready(process, log, f"{clients}/health")
    (folder / ETCD_URL).write_text(clients)
    return clients


def _start_apiserver(stack: contextlib.ExitStack, tools: Tools, folder: Path, etcd: str) -> Path:
    pki = make_certificates(folder / "pki")
    token = secrets.token_hex(16)
    (pki / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
    port = _free_port()
    command = [
        str(tools.apiserver), f"--etcd-servers={etcd}",
        "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", f"--secure-port={port}",
        f"--tls-cert-file={pki / 'server.crt'}", f"--tls-private-key-file={pki / 'server.key'}",
        f"--token-auth-file={pki / 'tokens.csv'}", "--authorization-mode=RBAC",
        f"--service-account-key-file={pki / 'account.key'}",
        f"--service-account-signing-key-file={pki / 'account.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=198.51.100.0/24", "--endpoint-reconciler-type=none",
        # Without controllers no namespace ever gets its default service account.
        "--disable-admission-plugins=ServiceAccount",
    ]  # fmt: skip
    log = folder / "apiserver.log"
    process = stack.enter_context(_running(command, log))
    server = f"https://127.0.0.1:{port}"
    _await_ready(process, log, f"{server}/readyz", token=token, ca=pki / "ca.crt")
    return _write_kubeconfig(folder / "kubeconfig", server, pki / "ca.crt", token)


def make_certificates(pki: Path) -> Path:
    """Make a CA, a server certificate for 127.0.0.1 and a key that signs account tokens."""
    pki.mkdir()
    elliptic = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    ca = [
        "req", "-x509", *elliptic, "-days", "2", "-subj", "/CN=test-ca",
        "-keyout", "ca.key", "-out", "ca.crt",
    ]  # fmt: skip
    server = [
        "req", "-x509", "-CA", "ca.crt", "-CAkey", "ca.key", *elliptic, "-days", "2",
        "-subj", "/CN=kube-apiserver", "-addext", "subjectAltName=IP:127.0.0.1",
        "-addext", "basicConstraints=critical,CA:FALSE",
        "-keyout", "server.key", "-out", "server.crt",
    ]  # fmt: skip
    account = ["ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", "account.key"]
    for arguments in (ca, server, account):
        subprocess.run(["openssl", *arguments], check=True, cwd=pki, capture_output=True)
    return pki


def _write_kubeconfig(path: Path, server: str, ca: Path, token: str) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        "clusters": [
            {"name": "test", "cluster": {"server": server, "certificate-authority": str(ca)}}
        ],
        "users": [{"name": "admin", "user": {"token": token}}],
    }
    path.write_text(yaml.safe_dump(config))
    path.chmod(0o600)
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def _running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as child:
        try:
            yield child
        finally:
            child.kill()  # its data goes with the folder: nothing to shut down in good order


def _await_ready(
    process: subprocess.Popen[bytes],
    log: Path,
    url: str,
    *,
    token: str | None = None,
    ca: Path | None = None,
) -> None:
    """Return when the URL answers. Raise RuntimeError if the process ends or takes long."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - our own server
    trust = ssl.create_default_context(cafile=str(ca)) if ca else None
    deadline = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(request, timeout=5, context=trust),  # noqa: S310 - our own
        ):
            return
        time.sleep(0.05)  # between two looks at the condition
    end = log.read_text(errors="replace")[-3000:]
    raise RuntimeError(f"{process.args!r} did not get ready; its last words:\n{end}")


async def _install_crds(kubeconfig: Path, folders: list[Path]) -> None:
    """Create every CustomResourceDefinition in the folders; return when all are served."""
    documents: list[dict[str, Any]] = []
    for folder in folders:
        for file in sorted(folder.glob("*.yaml")):
            documents += [one for one in yaml.safe_load_all(file.read_text()) if one]
    crds = [one for one in documents if one.get("kind") == CRD.kind]
    async with Client(await login(kubeconfig), SystemClock()) as client:
        for crd in crds:
            await client.create(CRD, crd)
        async with within(START_TIMEOUT, "the definitions to be served"):
            for crd in crds:
                name = crd["metadata"]["name"]
                while not _established(await client.get(CRD, name)):  # noqa: ASYNC110 - theirs
                    await asyncio.sleep(0.05)


def _established(crd: dict[str, Any]) -> bool:
    conditions = dig(crd, "status", "conditions", default=[])
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)
