"""The one error of the kit: everything that a person has to read and act on."""


class KitError(Exception):
    """Given a message that says what failed and what helps, end the command with status 1."""
