"""Prepared data: volumes, cache, splits."""
