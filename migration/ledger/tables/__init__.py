"""The ledger's records, one module per kind."""
