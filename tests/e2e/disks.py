"""The disk snapshots behind the VolumeSnapshotContents, and the driver's faults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.kube import Obj


class Disks:
    """The storage folder of the local cluster's CSI driver."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def has(self, content: Obj) -> bool:
        """Given a VolumeSnapshotContent, return whether its disk snapshot exists."""
        handle: str = content["status"]["snapshotHandle"]
        return (self._root / "snapshots" / handle).exists()

    @contextmanager
    def fault(self, name: str, value: str, volume: str) -> Iterator[None]:
        """Given a fault of the driver (see its README) and a volume's handle, have it for that
        volume as long as the block lasts.
        """
        path = self._root / "faults" / f"{name}.{volume}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(value)
        try:
            yield
        finally:
            path.unlink()
