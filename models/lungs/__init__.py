"""Both lungs, their lobes and what surrounds them, from the CT alone or from masks."""
