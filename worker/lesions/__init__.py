"""Find, measure, describe and locate the lesions of one scan."""
