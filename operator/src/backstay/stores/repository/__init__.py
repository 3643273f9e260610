"""Make points in a repository, by Jobs of the agent and restic."""
