"""All scans of one patient: search, table, export."""
