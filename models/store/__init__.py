"""Model files: download, unpack, verify, open."""
