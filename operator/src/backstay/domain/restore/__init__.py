"""What a RestoreRequest asks for, and the next step to it."""
