"""The revisions of the journal's tables, each with the one before it as `down_revision`."""
