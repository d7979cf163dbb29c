"""The parts of the ledger, all over one database, each with its own transactions."""
