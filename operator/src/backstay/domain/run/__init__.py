"""One run: its states, its dumps and hooks, and what it may use at the same time as others."""
