"""How long the data directory keeps what was received and made, and the removal of a patient."""
