"""Finds, chooses and fetches the earlier scans of a patient."""
