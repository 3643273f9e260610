"""Database dumps: one module per engine behind one Protocol."""
