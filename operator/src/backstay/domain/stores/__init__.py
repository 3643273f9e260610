"""Where points are kept: a pure plan for each store. Its I/O is in backstay.stores."""
