"""Trains the candidate network: it learns what the whole ensemble would mark, at coarse pixels."""
