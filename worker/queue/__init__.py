"""The Celery worker: takes jobs, keeps their lease, runs them."""
