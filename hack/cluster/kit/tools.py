"""The cluster's binaries, built from Go modules and cached outside the checkout.

Invariants: a cached binary is found under a key of everything that made it (go.mod, go.sum,
the flags, and the source where it is ours), so another checkout with the same inputs shares
it and a changed one never does; it appears by a rename, so it is complete or absent; builders
of one module wait for each other.
"""

import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .command import run
from .console import Progress
from .errors import KitError
from .layout import SOURCE
from .locks import locked, scratch
from .toolchain import go_program, kubectl_program

_VERSION = "k8s.io/component-base/version"
_KUBERNETES = "1.35.4"
# Without it the API server says v0.0.0-master, and charts with a kubeVersion refuse that.
_KUBERNETES_FLAGS = (
    f"-X {_VERSION}.gitVersion=v{_KUBERNETES} -X {_VERSION}.gitMajor=1 "
    f"-X {_VERSION}.gitMinor=35 -X {_VERSION}.gitTreeState=clean"
)
_GO_SETTINGS = {
    "CGO_ENABLED": "0",
    "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false",
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
}
_SNAPSHOTTER = "github.com/kubernetes-csi/external-snapshotter"


@dataclass(frozen=True, slots=True)
class Module:
    """A Go module in this folder; `own` where its source is here and counts in the key."""

    name: str
    folder: str
    linker: str = ""
    own: bool = False

    @property
    def path(self) -> Path:
        return SOURCE / self.folder


@dataclass(frozen=True, slots=True)
class Tool:
    """A binary and the package that it is built from; `built` is the name Go gives it."""

    name: str
    module: Module
    package: str
    built: str


_KUBE = Module("kube", "tools/kube", linker=_KUBERNETES_FLAGS)
_CSI = Module("csi", "tools/csi")
_PROVISIONER = Module("provisioner", "tools/provisioner")
_DRIVER = Module("driver", "csi-driver", own=True)
_PAUSE = Module("pause", "images/pause", own=True)
_HELM = Module("helm", "tools/helm")
# Both packages are called main: built together, one would overwrite the other.
_MONGO_FLAGS = "-X main.VersionStr=100.9.5"
_MONGODUMP = Module("mongodump", "tools/mongo", linker=_MONGO_FLAGS)
_MONGORESTORE = Module("mongorestore", "tools/mongo", linker=_MONGO_FLAGS)
_FERRETDB = Module("ferretdb", "ferretdb", own=True)
_VERSITYGW = Module("versitygw", "tools/versitygw")
# Not of this folder: the image is built from the same lock, so what is tested is what ships.
_RESTIC = Module("restic", "../../requirements/restic")


def _kube(name: str) -> Tool:
    return Tool(name, _KUBE, f"k8s.io/kubernetes/cmd/{name}", name)


# In the order in which they are built.
TOOLS = (
    Tool("etcd", _KUBE, "go.etcd.io/etcd/server/v3", "server"),
    *map(_kube, ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")),
    *(
        Tool(n, _CSI, f"{_SNAPSHOTTER}/v8/cmd/{n}", n)
        for n in ("snapshot-controller", "csi-snapshotter")
    ),
    Tool(
        "csi-provisioner",
        _PROVISIONER,
        "github.com/kubernetes-csi/external-provisioner/v6/cmd/csi-provisioner",
        "csi-provisioner",
    ),
    Tool("csi-btrfs", _DRIVER, ".", "csi-driver"),
    Tool("pause", _PAUSE, ".", "pause"),
    Tool("helm", _HELM, "helm.sh/helm/v4/cmd/helm", "helm"),
    *(
        Tool(module.name, module, f"github.com/mongodb/mongo-tools/{module.name}/main", "main")
        for module in (_MONGODUMP, _MONGORESTORE)
    ),
    Tool("ferretdb", _FERRETDB, ".", "ferretdb"),
    Tool("versitygw", _VERSITYGW, "github.com/versity/versitygw/cmd/versitygw", "versitygw"),
    Tool("restic", _RESTIC, "github.com/restic/restic/cmd/restic", "restic"),
)
KUBECTL = "kubectl"
SNAPSHOT_CRDS = "snapshot-crds"
"""No binary: the folder of the snapshot CRDs, for API servers without the rest."""
NAMES = (*(tool.name for tool in TOOLS), KUBECTL, SNAPSHOT_CRDS)
_OF_TESTS = {"helm", "mongodump", "mongorestore", "ferretdb", "versitygw", "restic"}
OF_A_CLUSTER = tuple(name for name in NAMES if name not in _OF_TESTS)
_BY_NAME = {tool.name: tool for tool in TOOLS}


def key(module: Module) -> str:
    """Given a module, return the 16 hex digits that name what is built from it."""
    names = ["go.mod", "go.sum"]
    if module.own:
        names += sorted(path.name for path in module.path.glob("*.go"))
    digest = hashlib.sha256(module.linker.encode())
    for name in names:
        file = module.path / name
        if file.exists():
            content = file.read_bytes()
            digest.update(f"\0{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def _folder(cache: Path, name: str, module: Module) -> Path:
    return cache / "tools" / f"{name}-{key(module)}"


def binary(cache: Path, name: str) -> Path:
    """Given a tool's name, return where its binary is or will be."""
    return _folder(cache, name, _BY_NAME[name].module) / name


def ensure(cache: Path, names: Iterable[str]) -> dict[str, Path]:
    """Given tools' names, build what is missing; return the path of each.

    Raise KitError if a name is unknown or a build fails.
    """
    wanted = list(names)
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        raise KitError(f"no tool named {', '.join(unknown)}; there are: {', '.join(NAMES)}")
    for module in dict.fromkeys(tool.module for tool in TOOLS if tool.name in wanted):
        tools = [tool for tool in TOOLS if tool.module == module and tool.name in wanted]
        if any(not binary(cache, tool.name).exists() for tool in tools):
            _build_missing(cache, module, tools)
    special = {KUBECTL: kubectl_program, SNAPSHOT_CRDS: snapshot_crds}
    return {
        name: special[name](cache) if name in special else binary(cache, name) for name in wanted
    }


def _build_missing(cache: Path, module: Module, tools: Sequence[Tool]) -> None:
    lock = cache / "tools" / f".{module.name}.lock"
    with locked(lock, f"Waiting for the {module.name} tools: another process builds them"):
        missing = [tool for tool in tools if not binary(cache, tool.name).exists()]
        if not missing:
            return
        with scratch(cache / "tools", f".building-{module.name}-") as partial:
            _build(go_program(cache), module, missing, partial)
            for tool in missing:
                staged = partial / f"{tool.name}-publish"
                staged.mkdir()
                (partial / tool.built).rename(staged / tool.name)
                _publish(staged, _folder(cache, tool.name, module))


def _publish(staged: Path, target: Path) -> None:
    if target.exists():
        # Of an older layout or emptied by hand: it has no binary, or we would not build.
        shutil.rmtree(target)
    staged.rename(target)


def _build(go: Path, module: Module, tools: Sequence[Tool], target: Path) -> None:
    argv = [str(go), "build", "-v", f"-ldflags=-s -w {module.linker}", "-o", f"{target}/"]
    argv += [tool.package for tool in tools]
    with (
        Progress(f"Building {', '.join(tool.name for tool in tools)}") as progress,
        subprocess.Popen(
            argv,
            cwd=module.path,
            env={**os.environ, **_GO_SETTINGS},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(process.stderr or ()))
        reader.start()
        # Go is silent while it links, so time has to pass on its own.
        while process.poll() is None:
            reader.join(timeout=0.5)
            progress.tick(build_progress(lines))
        reader.join()
        if process.returncode:
            raise KitError(f"go build in {module.path} failed:\n{''.join(lines[-15:])}")


def build_progress(lines: Sequence[str]) -> str:
    """Given what `go build -v` printed so far, return how far it is, in words."""
    fetched = sum(line.startswith("go: downloading") for line in lines)
    compiled = sum(not line.startswith(("go: ", "#", "\t")) for line in lines)
    return f"{fetched} modules fetched, {compiled} packages compiled"


def snapshot_crds(cache: Path) -> Path:
    """Return the folder with the snapshot CRDs of the snapshotter's client module."""
    target = _folder(cache, "crds", _CSI)
    with locked(cache / "tools" / ".crds.lock", "Waiting for the snapshot CRDs"):
        if not target.exists():
            go = go_program(cache)
            client = f"{_SNAPSHOTTER}/client/v8"
            run([go, "mod", "download", client], cwd=_CSI.path, env=_GO_SETTINGS)
            home = run(
                [go, "list", "-m", "-f", "{{.Dir}}", client], cwd=_CSI.path, env=_GO_SETTINGS
            )
            with scratch(cache / "tools", ".building-crds-") as partial:
                staged = partial / "crds"
                staged.mkdir()
                # Group snapshots too: the snapshot controller waits 30 s for their kinds.
                for file in Path(home.strip(), "config", "crd").glob("*.storage.k8s.io_*.yaml"):
                    shutil.copyfile(file, staged / file.name)
                staged.rename(target)
    return target
