"""One reader for each data layout: Medical Segmentation Decathlon, slices, cubes, DICOM. Each returns cases."""
