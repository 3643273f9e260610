"""The namespace that a kubeconfig's context names, as kubectl understands it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from kubernetes.aio.config import list_kube_config_contexts

from backstay.domain.errors import UserError
from backstay.kube.login import KUBECONFIG, UNREADABLE

DEFAULT: Final = "default"


def default_namespace(kubeconfig: Path | None = None, context: str | None = None) -> str:
    """Given a kubeconfig and a context in it (None: as `login` finds them), return its namespace.

    Raise UserError if the kubeconfig cannot be read or has no such context.
    """
    path = os.path.expanduser(kubeconfig or os.environ.get("KUBECONFIG") or KUBECONFIG)
    given = kubeconfig is not None or context is not None
    if not given and not any(os.path.exists(part) for part in path.split(os.pathsep)):
        return DEFAULT  # In a pod: there is no context that could name another.
    try:
        found: tuple[list[Any], Any] = list_kube_config_contexts(config_file=path)
        contexts, active = found
        chosen = active if context is None else next(c for c in contexts if c["name"] == context)
        return str(chosen["context"].get("namespace") or DEFAULT)
    except StopIteration:
        raise UserError("NoContext", f"{path} has no context {context!r}") from None
    except UNREADABLE as error:
        raise UserError("NoCredentials", f"cannot read {path}: {error}") from error
