"""Reads earlier scans back from their CT, SEG and SR."""
