"""A run: one cell of a sweep, from its configuration to its folder of results."""
