"""Reads a CT series: headers, geometry, pixels, and why a series is rejected."""
