"""Measured on real wafers against predicted: the rows, the fit of the presets, and the page that shows both."""
