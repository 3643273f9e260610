"""Points in a restic repository: the third store."""
