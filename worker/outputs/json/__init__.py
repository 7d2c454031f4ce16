"""findings.json: types, writer and reader."""
