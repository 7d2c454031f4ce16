"""Makes jobs of complete series, enqueues them, and the embedded Redis server."""
