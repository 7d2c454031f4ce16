"""Writes the findings: DICOM SEG and SR, JSON, page."""
