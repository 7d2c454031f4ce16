"""Speaks DICOM with the PACS. Knows no model and no torch."""
