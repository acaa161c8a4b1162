"""From the graph to the tile level: what both phases share, and what each does its own way."""
