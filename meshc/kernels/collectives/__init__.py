"""Collectives along a line of PEs: each algorithm a file, with its cost, memory and colors beside its code."""
