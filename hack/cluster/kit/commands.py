"""The command line: words in, one call, an exit status out."""

import argparse
import os
import shlex
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from . import cleanup, images, packages, s3, status, tools
from .cluster import Cluster
from .console import say
from .errors import KitError
from .layout import MAX_NODES, cache_from, layout_from
from .locks import locked


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="cluster", description="A local Kubernetes cluster for tests."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="leave a cluster running; build what is missing")
    up.add_argument("--nodes", type=int, choices=range(1, MAX_NODES + 1), default=MAX_NODES)
    up.add_argument("--s3", action="store_true", help="with an S3 server; it stays until `down`")
    commands.add_parser("down", help="remove the cluster; keep built tools and images")
    shown = commands.add_parser("status", help="say what runs; status 1 if not all of it does")
    shown.add_argument("-o", "--output", choices=["text", "json"], default="text")
    load = commands.add_parser("load", help="bring an image into every node")
    load.add_argument("image", help="its full name, such as localhost/backstay:dev")
    load.add_argument(
        "--from", dest="source", type=Path, metavar="FILE.tar", help="a docker archive"
    )
    commands.add_parser("kubeconfig", help="print the path of the administrator's kubeconfig")
    keys = commands.add_parser("s3", help="print what a user's shell needs to reach the S3 server")
    keys.add_argument("--user", choices=s3.USERS, default=s3.ADMIN)
    build = commands.add_parser("tools", help="build tools; print NAME PATH for each")
    build.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(tools.NAMES)}")
    image = commands.add_parser("image", help="build a Dockerfile on a debootstrapped Debian")
    image.add_argument("name", help="its full name, such as localhost/backstay:dev")
    image.add_argument("-f", "--file", type=Path, help="default: Dockerfile in CONTEXT")
    image.add_argument("context", type=Path)
    commands.add_parser("test-images", help="build the test images; load them if a cluster runs")
    return top


def main(words: Sequence[str]) -> int:
    """Given the command line's words, do it; return the exit status."""
    arguments = parser().parse_args(words)
    packages.extend_path()
    try:
        return _dispatch(arguments)
    except KitError as error:
        say(f"cluster {arguments.command}: {error}")
        return 1
    except KeyboardInterrupt:
        say(f"cluster {arguments.command}: interrupted")
        return 130


def _dispatch(arguments: argparse.Namespace) -> int:
    cluster = Cluster(layout_from(os.environ), cache_from(os.environ))
    match arguments.command:
        case "up":
            _up(cluster, arguments.nodes, with_s3=arguments.s3)
        case "down":
            with _alone(cluster):
                say("Cluster removed" if cleanup.down(cluster.layout) else "No cluster was up")
        case "status":
            return status.show(cluster, as_json=arguments.output == "json")
        case "load":
            _load(cluster, arguments.image, arguments.source)
        case "kubeconfig":
            print(_running(cluster).layout.kubeconfig)
        case "s3":
            _show_s3(_running(cluster), arguments.user)
        case "tools":
            for name, path in tools.ensure(cluster.cache, arguments.names or tools.NAMES).items():
                print(name, path)
        case "image":
            file = arguments.file or arguments.context / "Dockerfile"
            if not file.is_file():
                raise KitError(f"-f: there is no file {file}")
            images.build(arguments.name, file, arguments.context, cluster.cache)
        case "test-images":
            archives = images.test_images(cluster.cache)
            for node in cluster.layout.nodes(cluster.node_count()):
                images.load_all(node, archives)
    return 0


def _alone(cluster: Cluster) -> AbstractContextManager[None]:
    return locked(cluster.layout.lock, "Waiting for another `up` or `down`")


def _running(cluster: Cluster) -> Cluster:
    if not cluster.layout.kubeconfig.exists():
        raise KitError("no cluster is up; run `cluster up`")
    return cluster


def _up(cluster: Cluster, nodes: int, *, with_s3: bool) -> None:
    began = time.monotonic()
    with _alone(cluster):
        started = cluster.up(nodes, with_s3=with_s3)
    verb = "up" if started else "already up"
    say(f"Cluster {verb} in {time.monotonic() - began:.1f} s: {nodes} node(s)")
    say(f"export KUBECONFIG={cluster.layout.kubeconfig}")
    if cluster.has_s3:
        say('eval "$(hack/cluster/cluster s3)" # the S3 server, as its admin')


def _show_s3(cluster: Cluster, user: str) -> None:
    access = s3.access(cluster.layout)
    if access is None:
        raise KitError("the cluster has no S3 server; run `cluster up --s3`")
    for name, value in access.environment(user).items():
        print(f"export {name}={shlex.quote(value)}")


def _load(cluster: Cluster, image: str, source: Path | None) -> None:
    nodes = cluster.layout.nodes(_running(cluster).node_count())
    images.load_everywhere(nodes, image, source)
