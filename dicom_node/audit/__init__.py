"""The audit trail (IHE ATNA): who did what, as DICOM audit messages in a file and, if configured, by syslog."""
