"""The training loop, its settings and initial weights."""
