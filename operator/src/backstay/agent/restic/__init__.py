"""restic, and what is done around it so that its word alone never counts."""
