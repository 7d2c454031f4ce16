"""Search, selection and retrieval of the prior scans of a patient."""
