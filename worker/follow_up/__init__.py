"""Compares a scan with the patient's earlier ones: matching, tracking, change, growth."""
