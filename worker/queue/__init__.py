"""The Celery worker: takes jobs from the queue, renews their leases and runs them."""
