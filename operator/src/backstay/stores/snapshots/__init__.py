"""Read and write VolumeSnapshots and their contents."""
