"""What the ledger holds, a module per kind of record."""
