"""The `lungspread` command."""
