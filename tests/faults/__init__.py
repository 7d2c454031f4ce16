"""`make faults`: seeded histories of faults of node, worker, Redis, disk, clock, PACS and journal."""
