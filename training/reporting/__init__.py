"""Pages, plots and figures of an evaluation."""
