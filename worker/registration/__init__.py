"""Registers the lungs of an earlier scan to those of a later one."""
