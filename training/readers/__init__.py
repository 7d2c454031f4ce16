"""One reader per layout of data: Medical Segmentation Decathlon, slices, cubes, DICOM. Each returns cases."""
