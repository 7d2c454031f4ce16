"""The report of a scan as a page: PNG and PDF."""
