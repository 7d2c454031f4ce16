"""Left and right lung from the CT alone."""
