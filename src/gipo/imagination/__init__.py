"""A world model on vectors: its ensemble, the branches that are imagined with it, and its errors in the simulator."""
