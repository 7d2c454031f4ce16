"""Delivery of results to their destinations, and storage commitment in both roles."""
