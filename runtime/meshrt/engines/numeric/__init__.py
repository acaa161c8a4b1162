"""Scalar arithmetic that all engines share, so that their values agree to the last bit: rounding and functions."""
