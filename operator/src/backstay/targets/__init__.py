"""Where a restore goes."""
