"""Lesions of one scan: find, measure, describe, locate."""
