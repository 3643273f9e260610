"""Make, restore and remove rolling copies by Jobs of the agent."""
