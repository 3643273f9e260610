"""The error tree: BackstayError, and below it UserError and DataError."""


class BackstayError(Exception):
    """The root of everything that this program raises on purpose."""


class UserError(BackstayError):
    """Given a CamelCase reason and a message for people, tell that their input cannot work."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class DataError(BackstayError):
    """Something stored (an annotation, a file) cannot be understood."""
