"""The ledger in SQLite: what became of every file, shared by all workers of one
machine."""
