"""Which points of a series are kept, marked and swept, whatever store keeps them."""
