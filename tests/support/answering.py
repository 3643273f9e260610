"""Exec without a kubelet: the dump and hook scripts are answered by the test itself."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Sequence
from datetime import timedelta

from backstay.domain.objects import Obj
from backstay.kube.exec import Exec
from backstay.kube.exec_frames import ExecResult


class Answering(Exec):
    """A subclass says what the script's one line of JSON is."""

    @abstractmethod
    async def answer(self, pod: str, argv: Sequence[str], stdin: bytes) -> Obj:
        """Given a pod and what would run there, return the answer, or raise as exec does."""

    async def run(
        self,
        namespace: str,
        pod: str,
        container: str,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: timedelta,  # noqa: ASYNC109 - as in what it stands in for
        limit: int = 0,
    ) -> ExecResult:
        del namespace, container, timeout, limit
        answer = await self.answer(pod, argv, stdin)
        return ExecResult(0, json.dumps(answer).encode(), b"")
