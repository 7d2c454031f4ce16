"""DICOM documents of the findings: SEG and SR."""
