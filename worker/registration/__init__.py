"""Registration of the lungs of a prior scan to those of a later scan."""
