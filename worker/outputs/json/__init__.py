"""findings.json: its form, writing and reading."""
