"""Extent of the disease in one scan, and its T descriptor."""
