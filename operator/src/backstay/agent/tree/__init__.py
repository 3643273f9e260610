"""Walk a source, and build the tree of a new point from it and the last one."""
