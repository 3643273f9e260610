"""Steps shared by the kinds: exec with result, take a snapshot, claim a source."""
