"""Both lungs, their lobes and surroundings, from the CT alone or from masks."""
