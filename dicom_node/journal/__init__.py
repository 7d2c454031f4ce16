"""The journal database: tables, transactions, and one module per kind of record."""
