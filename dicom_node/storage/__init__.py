"""Storage of received instances: the spool folders, the receiver, and the header of a data set."""
