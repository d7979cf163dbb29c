"""Checks of the server and the library that do not trust the ledger."""
