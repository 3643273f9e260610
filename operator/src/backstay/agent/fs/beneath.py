"""Open a file below a directory that is held open."""

from __future__ import annotations

import os

from backstay.agent.fs.copy_file import open_file
from backstay.agent.fs.paths import open_beneath


def open_file_beneath(top: int, path: bytes) -> int:
    """Given a directory's descriptor and a path below it, open the regular file there for reading,
    never through a symlink.

    Raise OSError as `open_beneath` and `open_file` do.
    """
    folder, name = os.path.split(path)
    directory = open_beneath(top, folder)
    try:
        return open_file(name, directory)
    finally:
        os.close(directory)
