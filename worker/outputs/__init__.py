"""Writes the findings as DICOM SEG and SR, JSON, and page."""
