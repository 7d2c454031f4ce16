"""RECIST 1.1 (time points, target lesions, rules, response), and the response by volume."""
