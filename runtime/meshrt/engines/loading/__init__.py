"""How a program comes to an engine: linear code, names and their values, what lies in memory before the run."""
