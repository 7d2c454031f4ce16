"""The TID 1500 structured report, one module for each kind of content."""
