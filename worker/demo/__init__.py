"""`lungspread demo`: a phantom patient, a small PACS, and the service between them."""
