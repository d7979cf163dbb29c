"""The ledger in SQLite: what became of every file, for all workers of a machine."""
