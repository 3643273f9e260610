"""The error that ends a command of a repository, with its reason for the operator."""

from __future__ import annotations

from typing import Any

from backstay.domain.errors import BackstayError
from backstay.domain.stores.repository.reasons import EXIT_STATUS, Reason, outcome_of


class RepositoryError(BackstayError):
    """Something of a repository, or of what was asked of it, that ends the command.

    `more` are further fields of the answer.
    """

    def __init__(self, reason: Reason, message: str, **more: Any) -> None:
        super().__init__(message)
        self.reason = reason
        self.more = more

    @property
    def status(self) -> int:
        """The agent's exit status."""
        return EXIT_STATUS[outcome_of(self.reason)]
