"""Analysis of a queued CT series, and the `lungspread` command."""
