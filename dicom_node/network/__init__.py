"""The DICOM network and DICOMweb: SCP, SCU, associations, and what both roles share."""
