"""Container images without a registry: built by buildah, carried as docker archives.

Invariants: the base image is debootstrapped once and tagged with its real name, so real
Dockerfiles build unchanged; an archive of a test image is found under a key of its build
folder and appears by a rename; what a node has is noted beside the node, by image and key.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from . import packages, tools
from .command import run
from .configs import PAUSE_IMAGE
from .console import Progress, say
from .errors import KitError
from .layout import SOURCE, Node
from .locks import locked, scratch

BASE = "docker.io/library/debian:trixie-slim"
POSTGRES = "localhost/backstay-postgres:17"
# chroot isolation needs neither a runtime nor a network of its own.
_BUILDAH_ENV = {"BUILDAH_ISOLATION": "chroot"}
# The build argument that names where the Dockerfile takes restic from: a stage or an image.
_RESTIC_ARGUMENT = "RESTIC"
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
_BUNDLE_INSIDE = "/run/build-ca.crt"


@dataclass(frozen=True, slots=True)
class Archive:
    """A docker archive that holds one image; `key` changes with its content."""

    image: str
    key: str
    path: Path


def buildah(*words: str | Path) -> str:
    return run(["buildah", *words], env=_BUILDAH_ENV)


def image_id(image: str) -> str | None:
    """Given an image's name, return its id in the local storage, or None."""
    ids = buildah("images", "--filter", f"reference={image}", "--quiet", "--no-trunc").split()
    return ids[0] if ids else None


def from_files(image: str, source: Path, target: str, *config: str) -> None:
    """Given a file or folder and where it goes, make an image of that one layer.

    `config` are options of `buildah config`.
    """
    container = buildah("from", "scratch").strip()
    try:
        buildah("copy", "--quiet", container, source, target)
        buildah("config", *config, container)
        buildah("commit", "--quiet", container, image)
    finally:
        buildah("rm", container)


def ensure_base(cache: Path) -> None:
    """Leave Debian trixie in the local storage under its real name."""
    with locked(cache / "images" / ".base.lock", "Waiting for the base image"):
        if image_id(BASE):
            return
        title = "Making the base image debian:trixie-slim with debootstrap"
        with Progress(title), scratch(cache / "images", ".base-") as partial:
            root = partial / "root"
            run(["debootstrap", "--variant=minbase", "trixie", root])
            _slim(root)
            from_files(BASE, root, "/", "--cmd", "bash")


def _slim(root: Path) -> None:
    """Leave out what debian:*-slim leaves out: documentation, translations, package lists."""
    excluded = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info")
    lines = "".join(f"path-exclude=/{folder}/*\n" for folder in excluded)
    (root / "etc/dpkg/dpkg.cfg.d/slim").write_text(lines)
    (root / "etc/apt/apt.conf.d/slim").write_text(
        'APT::Keep-Downloaded-Packages "false";\n'
        'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n'
        'Acquire::Languages "none";\n'
    )
    for folder in (*excluded, "var/cache/apt", "var/lib/apt/lists", "var/log"):
        for entry in (root / folder).glob("*"):
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def build(image: str, dockerfile: Path, context: Path, cache: Path) -> None:
    """Given a Dockerfile and its context, build the image into the local storage.

    pip inside trusts this machine's CA bundle and uses its index, by a pip.conf that is
    mounted while it builds (an empty file of that name stays in the image). Where the Dockerfile
    compiles restic with an image of Go, which cannot be pulled, it gets the kit's restic: the
    same version, from the same go.mod.
    """
    packages.require_root("building an image")
    packages.ensure(packages.IMAGES)
    ensure_base(cache)
    with tempfile.TemporaryDirectory(prefix="backstay-build-") as folder:
        options = _trust(Path(folder))
        if takes_restic(dockerfile.read_text()):
            options.append(f"--build-arg={_RESTIC_ARGUMENT}={_restic_image(cache)}")
        with Progress(f"Building {image} from {dockerfile}"):
            # --force-rm: else each build leaves the container of a stage that has no step.
            buildah(
                "bud", "--quiet", "--layers", "--force-rm", "--network=host", *options,
                "--tag", image, "--file", dockerfile, context,
            )  # fmt: skip


def takes_restic(dockerfile: str) -> bool:
    """Given a Dockerfile's text, return whether it can be given an image that has restic."""
    return any(line.startswith(f"ARG {_RESTIC_ARGUMENT}=") for line in dockerfile.splitlines())


def _restic_image(cache: Path) -> str:
    """Return an image of the local storage that has the kit's restic where Debian's would be."""
    program = tools.ensure(cache, ["restic"])["restic"]
    image = f"localhost/backstay-restic:{program.parent.name.rpartition('-')[2]}"
    with locked(cache / "images" / ".restic.lock", "Waiting for the image of restic"):
        if image_id(image) is None:
            from_files(image, program, "/usr/bin/restic")
    return image


def pip_conf(environ: dict[str, str], bundle: str) -> str:
    """Given the environment and a CA bundle's path, return a pip.conf that says the same."""
    lines = ["[global]", f"cert = {bundle}"]
    for variable, option in (
        ("PIP_INDEX_URL", "index-url"),
        ("PIP_EXTRA_INDEX_URL", "extra-index-url"),
        ("PIP_TRUSTED_HOST", "trusted-host"),
    ):
        if environ.get(variable):
            lines.append(f"{option} = {environ[variable]}")
    return "\n".join(lines) + "\n"


def _trust(folder: Path) -> list[str]:
    candidates = (os.environ.get("PIP_CERT"), os.environ.get("SSL_CERT_FILE"), *_BUNDLES)
    bundle = next((path for path in candidates if path and Path(path).is_file()), None)
    if bundle is None:
        return []
    (folder / "pip.conf").write_text(pip_conf(dict(os.environ), _BUNDLE_INSIDE))
    return [
        f"--volume={os.path.realpath(bundle)}:{_BUNDLE_INSIDE}:ro",
        f"--volume={folder / 'pip.conf'}:/etc/pip.conf:ro",
    ]


def folder_key(folder: Path) -> str:
    """Given a build folder, return 16 hex digits of its files' names, modes and content."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = file.read_bytes()
        runs = bool(file.stat().st_mode & 0o100)
        digest.update(f"{file.relative_to(folder)}\0{runs}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def _cached(cache: Path, image: str, key: str) -> Archive:
    return Archive(image, key, cache / "images" / f"{quote(image, safe='')}-{key}.tar")


def export(image: str, target: Path) -> None:
    """Given an image of the local storage, write it as a docker archive; complete or absent."""
    partial = target.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    try:
        buildah("push", "--quiet", image, f"docker-archive:{partial}:{image}")
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)


def test_images(cache: Path) -> list[Archive]:
    """Return the archives of the test images; build those that are not cached."""
    pause = tools.ensure(cache, ["pause"])["pause"]
    folder = SOURCE / "images" / "postgres"
    wanted = [
        _cached(cache, PAUSE_IMAGE, pause.parent.name.rpartition("-")[2]),
        _cached(cache, POSTGRES, folder_key(folder)),
    ]
    with locked(cache / "images" / ".test.lock", "Waiting for the test images"):
        if not wanted[0].path.exists():
            packages.ensure(packages.IMAGES)
            from_files(PAUSE_IMAGE, pause, "/pause", "--entrypoint", '["/pause"]')
            export(PAUSE_IMAGE, wanted[0].path)
        if not wanted[1].path.exists():
            build(POSTGRES, folder / "Dockerfile", folder, cache)
            export(POSTGRES, wanted[1].path)
    return wanted


def _ctr(node: Node, *words: str | Path) -> str:
    return run(["ctr", "--address", node.containerd_socket, "--namespace", "k8s.io", *words])


def answers(node: Node) -> bool:
    """Return whether the node's containerd takes calls."""
    try:
        _ctr(node, "version")
    except KitError:
        return False
    return True


def load(node: Node, archive: Archive) -> bool:
    """Given a node and an archive, import it; return whether that was needed."""
    note = node.root / "images" / quote(archive.image, safe="")
    if note.exists() and note.read_text() == archive.key:
        return False
    _ctr(node, "images", "import", archive.path)
    note.parent.mkdir(exist_ok=True)
    note.write_text(archive.key)
    return True


def load_all(node: Node, archives: Sequence[Archive]) -> None:
    for archive in archives:
        load(node, archive)


def load_everywhere(nodes: Sequence[Node], image: str, source: Path | None) -> None:
    """Given an image of the local storage or its docker archive, bring it into every node.

    Raise KitError if the image is in neither.
    """
    if source is not None:
        if not source.is_file():
            raise KitError(f"--from: there is no file {source}")
        with source.open("rb") as file:
            key = hashlib.file_digest(file, "sha256").hexdigest()
        _load_everywhere(nodes, Archive(image, key, source))
        return
    packages.ensure(packages.IMAGES)
    key_or_none = image_id(image)
    if key_or_none is None:
        raise KitError(f"no image {image} in the local buildah storage; build it with `image`")
    with tempfile.TemporaryDirectory(prefix="backstay-load-") as folder:
        target = Path(folder) / "image.tar"
        export(image, target)
        _load_everywhere(nodes, Archive(image, key_or_none, target))


def _load_everywhere(nodes: Sequence[Node], archive: Archive) -> None:
    with ThreadPoolExecutor(max_workers=len(nodes)) as pool:
        for node, done in zip(nodes, pool.map(lambda n: load(n, archive), nodes), strict=True):
            verb = "loaded into" if done else "already in"
            say(f"{archive.image} {verb} node {node.name}")
