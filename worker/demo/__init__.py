"""What `lungspread demo` needs: a phantom chest, a small PACS, and the round between them."""
