"""The tables of dicom_node/CONFORMANCE.md, made from the code: `make conformance`."""
