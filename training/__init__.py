"""Makes the weights. Nobody imports it."""
