"""DICOMweb server (PS3.18): STOW-RS of series, QIDO-RS and WADO-RS of our results."""
