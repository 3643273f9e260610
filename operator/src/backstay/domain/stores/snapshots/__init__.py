"""The store of CSI snapshots: the VolumeSnapshot and its content carry the point."""
