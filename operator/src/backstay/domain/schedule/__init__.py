"""When a policy runs: cron, slots, and which slot is due."""
