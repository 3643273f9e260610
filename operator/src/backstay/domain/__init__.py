"""Pure rules: schedule, retention, naming, plans. No I/O, no wall clock."""
