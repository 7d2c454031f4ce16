"""Extent of the disease in one scan, and the T descriptor."""
