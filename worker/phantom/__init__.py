"""A generated chest with known lesions, and its CT series."""
