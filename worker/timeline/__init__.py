"""Timeline of one patient: search, table, export."""
