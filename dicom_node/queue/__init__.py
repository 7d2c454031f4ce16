"""Assembly of series into jobs, the reconciler that enqueues them, and the embedded Redis server."""
