"""The one error tree.

    BackstayError
    ├── UserError          the input is wrong: becomes a condition of the object
    │   └── Missing        what it names was looked for, and is not there
    ├── Transient          the world is not ready: try again, after `retry_after` if given
    │   ├── Awaited        something of ours works on it: no failure, look again soon
    │   ├── NotServed      the API server knows no such kind for now
    │   └── Refused        a rule says no, and goes on doing so until a person changes it
    ├── Conflict           somebody else wrote first: read again, then decide again
    │   └── AlreadyExists  the object to create is there already
    ├── NotFound           the object is not there
    ├── DataError          what was read contradicts itself: needs a person, retried slowly
    └── Fatal              this process must not go on: leaves the worker loop and ends it

Each layer raises these and nothing else on purpose; whatever is not in the tree is a defect,
logged with its traceback by the worker loop and retried with backoff.
"""

# ruff: noqa: N818 - the names say what to do next, not that they are errors

from __future__ import annotations

from datetime import timedelta


class BackstayError(Exception):
    """Any error that is raised on purpose. `message` is one sentence for a person.

    `within`: the next try comes no later than this, however long the queue would wait. Whoever
    has a deadline sets it, so that the deadline is looked at when it is over.
    `store`: which store it happened in, where that is known: only its points fail with it.
    """

    within: timedelta | None = None
    store: str = ""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UserError(BackstayError):
    """Bad input: `reason` (CamelCase) and `message` go into a condition."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Missing(UserError):
    """What the input names was looked for where it should be, and is not there: the request fails,
    however right its words are.
    """


class Transient(BackstayError):
    """May work later: retried with backoff, not before `retry_after` where that is known."""

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Awaited(Transient):
    """What was asked for is being found out by a Job of ours, or waits for its turn: the message
    names it, and whoever asked looks again soon.
    """


class NotServed(Transient):
    """The API server serves no such kind, as while its definition is missing: this says nothing of
    the objects of that kind, least of all that they are gone.
    """


class Refused(Transient):
    """Rights are missing, or an admission rule says no (HTTP 401, 403): what holds something that
    others wait for does not hold it for this.
    """


class Conflict(BackstayError):
    """A precondition was lost (HTTP 409 or 412): read again, then decide again."""


class AlreadyExists(Conflict):
    """The name of an object to create is taken: read it and see whether it is ours."""


class NotFound(BackstayError):
    """The object is not there (HTTP 404, with a Status that says so)."""


class DataError(BackstayError):
    """What was read contradicts itself or cannot be understood."""


class Fatal(BackstayError):
    """Going on could do harm, for example writing after the lease was lost."""
