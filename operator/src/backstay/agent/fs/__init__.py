"""Files and system calls: nothing here knows of points."""
