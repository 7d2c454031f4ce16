"""Segmentation models, lung outlines and their pre-processing, on arrays; DICOM is read elsewhere."""
