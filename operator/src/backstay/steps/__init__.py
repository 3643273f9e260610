"""Steps shared by the kinds: exec with result, cut, claim a source."""
