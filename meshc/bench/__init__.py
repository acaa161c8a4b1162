"""Kernels side by side: sizes x grids x algorithms, timed on the emulator beside predictions and lower bounds."""
