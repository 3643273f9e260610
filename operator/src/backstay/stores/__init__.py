"""Where points are kept: the I/O of each store. Its plans are in backstay.domain.stores."""
