"""Selection of the series of a study that is analysed."""
