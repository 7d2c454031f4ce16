"""A synthetic chest with known lesions, and its CT series."""
