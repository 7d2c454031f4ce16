"""Coded concepts of the DICOM documents."""
