"""Received instances on disk: the spool's folders, and the header of a data set."""
