"""Sends results to their destinations, and both roles of storage commitment."""
