"""The `lungspread` command line: one module per command."""
