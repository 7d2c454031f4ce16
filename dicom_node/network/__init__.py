"""DICOM network and DICOMweb: SCP, SCU, associations and common constants."""
