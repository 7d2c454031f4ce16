"""Networks and their pre-processing. Knows arrays, no DICOM."""
