"""The store of rolling copies: trees of hard links at a destination, made by the agent."""
