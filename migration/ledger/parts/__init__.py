"""The parts of the ledger, each over one database, and with its own transactions."""
