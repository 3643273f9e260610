"""Where a restore writes."""
