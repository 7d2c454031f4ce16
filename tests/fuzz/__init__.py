"""`make fuzz`: seeded malformed input for port, DIMSE, files, decoders, DICOMweb, queue, journal and configuration."""
