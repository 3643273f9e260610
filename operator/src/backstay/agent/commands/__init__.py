"""What the agent can be asked for: one module for each command."""
