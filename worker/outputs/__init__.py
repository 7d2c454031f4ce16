"""The encoders: findings in, a DICOM or JSON document out."""
