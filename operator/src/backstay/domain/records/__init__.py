"""The record of a point, and the Backups that show it."""
