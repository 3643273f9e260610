"""Where the API server is and how to prove who we are.

Invariant: everything that talks to the API server (REST client, exec, main's Kopf login) takes
address, TLS and token from one `Login`, so that they never disagree.

Limit: a kubeconfig whose user comes from an exec plug-in is asked for its token once, here. That
is right for a command; the operator itself runs on its service account, whose token is read
again every minute.
"""

from __future__ import annotations

import copy
import os
import ssl
from pathlib import Path
from typing import Any
from urllib.request import getproxies

import yaml
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from backstay.domain.errors import UserError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
KUBECONFIG = "~/.kube/config"
CONNECTIONS = 48
"""Of one pool. A bulk pass has a part of them: see `client.BULK`."""

# The loader stumbles over a file of another shape with whatever comes first.
UNREADABLE = (
    ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, KeyError, AttributeError,
)  # fmt: skip


class Login:
    """The credentials for one API server."""

    def __init__(self, configuration: Any) -> None:
        # Go clients accept certificates without an authority key identifier, Python >= 3.13
        # refuses them by default; clusters have them, and chain and host name are still verified.
        configuration.disable_strict_ssl_verification = True
        configuration.connection_pool_maxsize = CONNECTIONS
        # Where no proxy is set, aiohttp would still ask for one at each request, in a thread.
        configuration.client_session_kwargs = {"trust_env": bool(getproxies())}
        self._configuration = configuration
        self._rest = RESTClientObject(configuration)

    @property
    def host(self) -> str:
        """Return the server's base URL, without a slash at its end."""
        return str(self._configuration.host).rstrip("/")

    @property
    def tls(self) -> ssl.SSLContext:
        """Return the TLS context: CA and, where there is one, the client certificate."""
        context: ssl.SSLContext = self._rest.ssl_context
        return context

    @property
    def server_name(self) -> str | None:
        """Return the name to verify the server's certificate against, if not the host."""
        name: str | None = self._configuration.tls_server_name
        return name

    @property
    def proxy(self) -> str | None:
        """Return the URL of the HTTP proxy to the server, if there is one."""
        proxy: str | None = self._configuration.proxy
        return proxy

    async def headers(self) -> dict[str, str]:
        """Return the authorization header, with a fresh token; {} for certificates."""
        settings = await self._configuration.auth_settings()
        return {auth["key"]: auth["value"] for auth in settings.values() if auth["value"]}

    def pool(self) -> Any:
        """Return a new connection pool (`RESTClientObject`), to be closed by its user.

        To be called inside the running loop.
        """
        pool = copy.copy(self._rest)  # the TLS context, which is costly to make, is shared
        session = pool._create_pool_manager()
        # aiohttp repeats a DELETE that got no answer. If the first was carried out, the second
        # finds another resourceVersion, and "done" would be read as "somebody else changed it".
        # It has no public switch; its own test client sets this one.
        session._retry_connection = False
        pool.pool_manager = session
        return pool


async def login(kubeconfig: Path | None = None, context: str | None = None) -> Login:
    """Given a kubeconfig and a context in it, return how to reach that API server.

    Without a kubeconfig: the pod's service account if there is one, else $KUBECONFIG, else
    ~/.kube/config. Raise UserError if there is none of them, or if it cannot be read.
    """
    configuration = Configuration()
    path = str(kubeconfig or os.environ.get("KUBECONFIG") or KUBECONFIG)
    in_cluster = kubeconfig is None and context is None and _in_cluster()
    source = "the pod's service account" if in_cluster else path
    try:
        if in_cluster:
            load_incluster_config(client_configuration=configuration)
        else:
            await load_kube_config(
                config_file=path,
                context=context,
                client_configuration=configuration,
                persist_config=False,
            )
        return Login(configuration)
    except UNREADABLE as error:
        raise UserError(
            "NoCredentials",
            f"cannot log in to Kubernetes with {source}: {error}; "
            "set KUBECONFIG to a readable file or run in a pod with a service account",
        ) from error


def _in_cluster() -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ and SERVICE_ACCOUNT.is_file()
