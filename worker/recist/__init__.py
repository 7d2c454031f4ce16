"""RECIST 1.1: time points, targets, rules, response; and the response by volume."""
