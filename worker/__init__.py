"""Turns a queued series into results, and holds the `lungspread` command."""
