"""Mesh programs: types, text, checks and costs."""
