"""Kopf as watch and dispatch only: every handler hands a key over, and nothing else.

Kopf runs in a thread and loop of its own. The handlers of `on.event` never retry and swallow
errors, so all that matters happens behind the queue; what kopf misses, the resync finds.

Invariant: an event that shows our own last write asks for no look. Whoever wrote it decided on all
that was before it, as each patch tests the version that was read, and asks for what follows.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import aiohttp
import kopf

from backstay.api.backup import FINAL_PHASES
from backstay.api.common import GROUP, VERSION
from backstay.api.restore_status import FINAL_RESTORE_PHASES
from backstay.domain import labels, objects
from backstay.domain.adoption import takeover
from backstay.domain.objects import dig
from backstay.domain.records.rebuild import is_asked
from backstay.domain.stores.snapshots.carriers import identity
from backstay.engine.queue import Key
from backstay.kube.login import Login
from backstay.reconcile import keys

log = logging.getLogger(__name__)

Enqueue = Callable[[Key], None]
IsEcho = Callable[[Mapping[str, Any]], bool]
"""Whether an object as a watch shows it is what we wrote ourselves."""

CONNECTIONS: Final = 20
"""More than there are watches; kopf sets no limit by itself."""
SNAPSHOT_GROUP: Final = "snapshot.storage.k8s.io"


def registry(access: Login, enqueue: Enqueue, is_echo: IsEcho) -> kopf.OperatorRegistry:
    """Given the login, where keys go and what knows our own writes (both thread-safe), return the
    registry of all handlers.
    """
    found = kopf.OperatorRegistry()
    _add_login(found, access)
    _add_repositories(found, enqueue, is_echo)

    @kopf.on.event(GROUP, VERSION, "backuppolicies", registry=found)
    def policy_event(
        type: str | None, body: kopf.Body, namespace: str | None, name: str, **_: Any
    ) -> None:
        if is_news(body, is_echo):
            enqueue(keys.policy(namespace or "", name))
        if concerns_retention(type, body) or (type and takeover.is_asked(body)):
            enqueue(keys.retention(namespace or "", name))
        if is_asked(body):
            enqueue(keys.rebuild(namespace or "", name))
        if type is not None and dig(body, "spec", "rolling"):
            enqueue(keys.copies(namespace or "", name))

    @kopf.on.event(GROUP, VERSION, "backups", registry=found)
    def backup_event(body: kopf.Body, namespace: str | None, name: str, **_: Any) -> None:
        if is_news(body, is_echo):
            enqueue(keys.backup(namespace or "", name))

    @kopf.on.event(GROUP, VERSION, "restorerequests", registry=found)
    def restore_event(namespace: str | None, name: str, **_: Any) -> None:
        enqueue(keys.restore(namespace or "", name))

    @kopf.on.event(SNAPSHOT_GROUP, "v1", "volumesnapshots", registry=found)
    def snapshot_event(body: kopf.Body, namespace: str | None, **_: Any) -> None:
        backup = identity(dict(body), labels.BACKUP)
        if backup and is_news(body, is_echo):
            enqueue(keys.backup(namespace or "", backup))

    return found


def _add_repositories(found: kopf.OperatorRegistry, enqueue: Enqueue, is_echo: IsEcho) -> None:
    @kopf.on.event(GROUP, VERSION, "backuprepositories", registry=found)
    def repository_event(body: kopf.Body, namespace: str | None, name: str, **_: Any) -> None:
        if is_news(body, is_echo):
            enqueue(keys.repository(namespace or "", name))


def _add_login(found: kopf.OperatorRegistry, access: Login) -> None:
    @kopf.on.login(registry=found)
    async def log_in(**_: Any) -> kopf.AiohttpSession:
        # Kopf's own logins need DNS in a pod; ours is the one that all other requests use. When
        # the token has expired kopf gets 401 and comes here again.
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=access.tls),
            headers=await access.headers(),
            proxy=access.proxy,
        )
        return kopf.AiohttpSession(server=access.host, aiohttp_session=session)


def is_news(body: Mapping[str, Any], is_echo: IsEcho) -> bool:
    """Given an object as a watch shows it, return whether it is to be looked at."""
    return bool(dig(body, "metadata", "deletionTimestamp")) or not is_echo(body)


def concerns_retention(event: str | None, policy: Mapping[str, Any]) -> bool:
    """Given the type of an event (None: of the first listing) and a policy, return whether its
    retention is to be looked at: the spec changed, it went, or a person released something.

    The resync plans for all that were there before; our own writes trigger no reconcile.
    """
    notes = objects.annotations(policy)
    changed = dig(policy, "metadata", "generation") != dig(policy, "status", "observedGeneration")
    released = labels.RELEASE_RETENTION in notes or labels.ACCEPT_SIZE in notes
    return event is not None and (event == "DELETED" or changed or released)


def settings() -> kopf.OperatorSettings:
    """Return kopf's settings: no annotations, no finalizers, finished objects not watched."""
    found = kopf.OperatorSettings()
    found.posting.enabled = False
    found.scanning.disabled = True
    found.peering.standalone = True
    found.watching.server_timeout = 300
    found.watching.client_timeout = 310
    found.watching.reconnect_backoff = 1.0
    found.queueing.idle_timeout = 0.5
    found.watching.field_selectors[GROUP, "backups"] = keys.not_in(FINAL_PHASES)
    found.watching.field_selectors[GROUP, "restorerequests"] = keys.not_in(FINAL_RESTORE_PHASES)
    found.watching.label_selectors[SNAPSHOT_GROUP, "volumesnapshots"] = (
        f"{labels.RESULT}={labels.Result.PENDING.value}"
    )
    return found


class Host:
    """Kopf in a thread of its own. `on_end` gets the reason for its end: kopf exits by design on
    errors that it cannot handle, and then so must we.
    """

    def __init__(
        self,
        access: Login,
        enqueue: Enqueue,
        is_echo: IsEcho,
        on_end: Callable[[str], None],
        identity: str,
    ) -> None:
        self._access = access
        self._identity = identity
        self._enqueue = enqueue
        self._is_echo = is_echo
        self._on_end = on_end
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, name="kopf", daemon=True)

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Ask kopf to end and wait so long; it holds nothing that must be saved."""
        self._stop.set()
        self._thread.join(seconds)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._on_loose_end)
        await kopf.operator(
            registry=registry(self._access, self._enqueue, self._is_echo),
            settings=settings(),
            standalone=True,
            # Else kopf asks for the user's name, and a numeric user has none.
            identity=self._identity,  # type: ignore[arg-type]  # its NewType is private
            clusterwide=True,
            stop_flag=self._stop,
            ready_flag=self._ready,
        )

    def _on_loose_end(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A request that is cancelled by our stop calls back into a loop without a task."""
        if self._stop.is_set():
            log.debug("kopf, while it stops: %s", context.get("message"))
        else:
            loop.default_exception_handler(context)

    def _main(self) -> None:
        try:
            asyncio.run(self._watch())
            why = "kopf ended"
        except Exception as error:  # noqa: BLE001 - the thread's last frame: report to main, whatever it is
            why = f"kopf failed: {error!r}"
        if not self._stop.is_set():
            self._on_end(why)
