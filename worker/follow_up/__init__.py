"""Comparison of a scan with the patient's prior scans: matching, tracking, change and growth of lesions."""
