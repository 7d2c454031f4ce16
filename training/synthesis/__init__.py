"""Generated lesions, and their insertion into volumes."""
