"""The journal: tables, transactions, and one module for each kind of record."""
