"""Evaluation: predictions, metrics, intervals, cross-validation."""
