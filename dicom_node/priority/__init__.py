"""How urgent each job is, by rules of the site."""
