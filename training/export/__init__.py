"""Weights and model folders of a finished run."""
