"""Models trained elsewhere: nnU-Net folders and MONAI bundles."""
